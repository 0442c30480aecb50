"""A trainer as many have one: a GPT-2 from its configuration and Hugging Face's Trainer."""

import torch
from model import Windows, described, described_data, gpt2
from sweep_trainer import SweepTrainer
from transformers import TrainingArguments, set_seed

from scalaw.program import Task

task = Task()
train, val = Windows("train"), Windows("val")
if task.do == "describe":
    task.describe(described_data(), [described(params) for params in task.params])
set_seed(task.seed)
model = gpt2(**task.dims)
arguments = TrainingArguments(
    output_dir=task.work,
    max_steps=task.stop_step - task.start_step,
    learning_rate=task.rate(0),
    lr_scheduler_type="constant",
    per_device_train_batch_size=task.batch_size,
    per_device_eval_batch_size=64,
    report_to="none",
    save_strategy="no",
    logging_strategy="no",
    disable_tqdm=True,
)
val = torch.utils.data.Subset(val, range(task.eval_examples))
trainer = SweepTrainer(model, arguments, train_dataset=train, eval_dataset=val, task=task)
if task.steps():
    trainer.train()
val_loss = trainer.evaluate()["eval_loss"] if task.eval_examples else None
task.finish(params_total=model.num_parameters(), val_loss=val_loss)
