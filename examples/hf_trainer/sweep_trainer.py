"""Hugging Face's Trainer as a task wants it: its order, its rates, its seeds, its states.

Positions are read in their order from `start_step` on, so the Trainer's own shuffling, skipping and resuming are not
used. The rate is set before each step: its schedulers leave the next step's rate in the optimizer, so that a fork would
begin with its parent's.
"""

import torch
from transformers import Trainer, TrainerCallback


class Stream(torch.utils.data.IterableDataset):
    """The examples of a task, one after the other."""

    def __init__(self, examples, task):
        self.examples, self.task = examples, task

    def __iter__(self):
        for step in self.task.steps():
            for index in self.task.examples(step):
                yield self.examples[index]


class Steps(TrainerCallback):
    """What is set before a step, and told after it."""

    def __init__(self, task):
        self.task = task

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **_):
        """Go on from a state."""
        if self.task.start_state:
            saved = torch.load(self.task.start_state / "state.pt", weights_only=True)
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])

    def on_step_begin(self, args, state, control, optimizer=None, **_):
        """Set rate and seed of the step that comes."""
        step = self.task.start_step + state.global_step
        torch.manual_seed(self.task.step_seed(step))
        for group in optimizer.param_groups:
            group["lr"] = self.task.rate(step)

    def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
        """Tell of the step that is done."""
        parts = {"model": model, "optimizer": getattr(optimizer, "optimizer", optimizer)}
        saved = {name: part.state_dict() for name, part in parts.items()}
        step = self.task.start_step + state.global_step - 1
        self.task.step_done(step, self.loss.item(), save=lambda to: torch.save(saved, to / "state.pt"))


class SweepTrainer(Trainer):
    """A Trainer of one task."""

    def __init__(self, model, arguments, *, train_dataset, eval_dataset, task):
        self.steps = Steps(task)
        stream = Stream(train_dataset, task)
        super().__init__(model, arguments, train_dataset=stream, eval_dataset=eval_dataset, callbacks=[self.steps])

    def compute_loss(self, *arguments, **keywords):
        """Remember the loss of the batch in full precision."""
        found = super().compute_loss(*arguments, **keywords)
        self.steps.loss = (found[0] if isinstance(found, tuple) else found).detach()
        return found
