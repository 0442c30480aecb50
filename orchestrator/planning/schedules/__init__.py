"""Learning-rate schedules by name, one file each: the rate of a step, where a cell leaves the trunk, what is merged."""
