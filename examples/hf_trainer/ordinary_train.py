"""A trainer as many have one: a GPT-2 from its configuration and Hugging Face's Trainer."""

from model import Windows, dims_for, gpt2
from transformers import Trainer, TrainingArguments, set_seed

train, val = Windows("train"), Windows("val")
set_seed(0)
model = gpt2(**dims_for(25_000))
arguments = TrainingArguments(
    output_dir="out",
    max_steps=1000,
    learning_rate=3e-3,
    lr_scheduler_type="cosine",
    warmup_steps=50,
    per_device_train_batch_size=16,
    per_device_eval_batch_size=64,
    report_to="none",
    save_strategy="no",
    logging_steps=100,
)
trainer = Trainer(model, arguments, train_dataset=train, eval_dataset=val)
trainer.train()
print("validation loss", trainer.evaluate()["eval_loss"])
trainer.save_model("out")
