"""People's own trainers as a model family: what is planned of them, and the half that workers ask."""
