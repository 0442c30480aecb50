"""The decoder-only transformer family, over bytes or other tokens.

N counts blocks and final norm; token and position embeddings and the untied output head count as embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.bounds import Context, Width
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import Real
from workers.families.size_search import Line, nearest_size

WIDEST = 65_536


def layers(width: int) -> int:
    """Return the preferred depth of a width: 2 up to 128, then one layer per 64, growing more slowly above 768.

    The rule ``12 (width / 768)^0.75`` passes through GPT-2 small (768 wide, 12 deep) and GPT-3 (12,288 and 96).
    """
    return max(2, round(width / 64)) if width <= 768 else round(12 * (width / 768) ** 0.75)


#: Multiples of 8 at the preferred depth, else even widths, else one layer more or fewer.
LINES = (
    Line(8, WIDEST, layers),
    Line(2, WIDEST, layers),
    Line(2, WIDEST, lambda width: layers(width) + 1),
    Line(2, WIDEST, lambda width: layers(width) - 1),
)


def non_embedding(width: int, depth: int) -> int:
    """Return N: 12 width² of matrices and two LayerNorms a block (weight and bias), and the final LayerNorm."""
    return depth * (12 * width**2 + 4 * width) + 2 * width


class TransformerOptions(Options):
    """YAML keys beside ``family: transformer``."""

    context: Context = Field(64, description="tokens in a window")
    dropout: Annotated[Real, Field(ge=0, lt=1)] = Field(0.0, description="dropout on embeddings and residual branches")
    head_dim: Width = Field(16, description="width of an attention head, as nearly as it divides the model's")


class Transformer:
    """Pre-norm transformer with learned positions, GELU MLP of 4 x width and causal attention."""

    name = "transformer"
    head = "head"
    Options = TransformerOptions
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "adamw": {"learning_rate": 0.006, "weight_decay": 0.0, "gradient_clip": 1.0},
        "sgd": {"learning_rate": 0.1, "weight_decay": 0.0, "gradient_clip": 1.0},
    }
    simulated = False
    training = "workers.families.transformer.train:TrainedTransformer"

    @staticmethod
    def shape_for(params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the shape for ``params`` non-embedding parameters (at most 5 % off from 25k on).

        FLOPs are per window as torch's counter sees them with the plain (math) attention kernel: the full square of
        scores, and twice the forward pass in the backward. Scores that fused kernels compute anew don't count.

        Raises
        ------
        BadOption
            If the data isn't made of tokens, or no shape lies within a factor of two.
        """
        if data.tokens_per_example is None:
            raise BadOption(
                "model",
                "family",
                f"transformer reads tokens and data source {data.task!r} has none: "
                "use a text source such as python-stdlib, or family: resnet for images",
            )
        width, depth = nearest_size(params, LINES, non_embedding, tolerance=0.025, family="transformer")
        heads = _heads(width, TransformerOptions.model_validate(options).head_dim)
        return _shape(width, depth, heads, context=data.tokens_per_example, vocabulary=data.classes)

    @staticmethod
    def shape_on(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """Return the same shape: both are read in windows of the model's context.

        Raises
        ------
        BadOption
            If the data isn't made of tokens, or of another vocabulary.
        """
        if data.tokens_per_example is not None and data.classes != shape.dim("vocabulary"):
            raise BadOption(
                "grid.finetune",
                "data",
                f"{data.task!r} has a vocabulary of {data.classes:,} tokens and the pretraining data one of "
                f"{shape.dim('vocabulary'):,}: take data of the same tokenizer",
            )
        if data.tokens_per_example != shape.dim("context"):
            raise BadOption(
                "grid.finetune",
                "data",
                f"a transformer pretrained on text can't read {data.task!r}: take a text source such as c-headers",
            )
        return shape

    @staticmethod
    def activation_bytes(shape: ModelShape, data: DataManifest, *, half: bool) -> int:
        """Return the bytes that a window takes in training.

        For each token a block keeps the inputs of its two norms (float32, as the residual stream is), their outputs as
        the matrices read them, queries, keys and values, what attention returns, and the MLP's hidden layer before and
        after its activation: twice a width in float32, and 14 widths in the precision of the matrices. Scores are not
        kept: attention computes them anew. Logits lie there as they came, in float32, and as log-probabilities, with
        the gradient of one of them.
        """
        width, depth, vocabulary = (shape.dim(name) for name in ("width", "depth", "vocabulary"))
        each = 2 if half else 4
        blocks = depth * width * (2 * 4 + 14 * each)
        ends = width * (4 + each) + vocabulary * (each + 3 * 4)
        return shape.dim("context") * (blocks + ends)

    @staticmethod
    def weights(shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return the matrices of the blocks, and the output head."""
        width = shape.dim("width")
        block = {"qkv": (3, 1), "attention_out": (1, 1), "mlp_in": (4, 1), "mlp_out": (1, 4)}
        found = [
            (f"blocks.{k}.{name}.weight", (rows * width, columns * width))
            for k in range(shape.dim("depth"))
            for name, (rows, columns) in block.items()
        ]
        return [*found, ("head.weight", (shape.dim("vocabulary"), width))]

    @staticmethod
    def unit_groups(shape: ModelShape) -> list[UnitGroup]:
        """Return the attention heads and the MLP channels of each block."""
        found = []
        for k in range(shape.dim("depth")):
            block = f"blocks.{k}"
            found.append(
                UnitGroup(
                    name=f"{block}.heads",
                    units=shape.dim("heads"),
                    members=((f"{block}.qkv.weight", 0, 3), (f"{block}.attention_out.weight", 1, 1)),
                    counted_by=f"{block}.heads",
                )
            )
            found.append(
                UnitGroup(
                    name=f"{block}.mlp",
                    units=4 * shape.dim("width"),
                    members=((f"{block}.mlp_in.weight", 0, 1), (f"{block}.mlp_out.weight", 1, 1)),
                )
            )
        return found


def _shape(width: int, depth: int, heads: int, *, context: int, vocabulary: int) -> ModelShape:
    head = 2 * context * vocabulary * width
    linear = 2 * context * 12 * width**2 * depth + head
    attention = 4 * context**2 * width * depth
    n = non_embedding(width, depth)
    dims = {"context": context, "depth": depth, "heads": heads, "vocabulary": vocabulary, "width": width}
    return ModelShape(
        family="transformer",
        dims=tuple(sorted(dims.items())),
        params_total=n + (2 * vocabulary + context) * width,
        params_non_embedding=n,
        forward_flops=linear + attention,
        train_flops=3 * (linear + attention),
        head_flops=head,
    )


def _heads(width: int, head_dim: int) -> int:
    """Return the divisor of ``width`` that makes heads as nearly ``head_dim`` wide as possible."""
    wanted = width / head_dim
    small = [k for k in range(1, int(width**0.5) + 1) if width % k == 0]
    return min({*small, *(width // k for k in small)}, key=lambda k: (abs(k - wanted), k))
