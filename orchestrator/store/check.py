"""Every checksum of a store, without changing anything in it: what ``scalaw store check`` answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.store.blobs import Blobs, UnreadableBlob
from orchestrator.store.checkpoints import Checkpoints, DamagedCheckpoint, digest_in
from orchestrator.store.curves import FOLDER as CURVES
from orchestrator.store.curves import check_curve
from orchestrator.store.damage import Damage
from orchestrator.store.documents import DamagedDocument, decode_document, is_sealed
from orchestrator.store.fits import FOLDER as FITS
from orchestrator.store.fits import check_fit
from orchestrator.store.identity import KEY, identity_of
from orchestrator.store.listing import FOLDER as ROWS
from orchestrator.store.listing import is_compacted
from orchestrator.store.part import DamagedPart
from orchestrator.store.part_reader import THREADS, PartReader
from orchestrator.store.results import check_part
from orchestrator.store.schema import CURVES_SCHEMA, FITS_SCHEMA, ROW_SCHEMA
from orchestrator.store.sweeps import Sweeps
from orchestrator.store.weights import DamagedWeights, Weights


@dataclass(frozen=True)
class Broken:
    """One thing that is not as it was written."""

    key: str
    reason: str


@dataclass
class CheckReport:
    """What a check found.

    Attributes
    ----------
    parts, compacted, fits, curves, documents, checkpoints, weights
        How many of each were opened and read to their last byte.
    set_aside
        Keys of what readers have moved out of the way before.
    unsealed
        Keys of what an older scalaw wrote without a checksum: it can be read, and that is all that is known.
    damaged
        What can't be read, or differs from what was written.
    """

    store: str
    parts: int = 0
    compacted: int = 0
    fits: int = 0
    curves: int = 0
    documents: int = 0
    checkpoints: int = 0
    weights: int = 0
    set_aside: list[str] = field(default_factory=list)
    unsealed: list[str] = field(default_factory=list)
    damaged: list[Broken] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able document."""
        return asdict(self)


def check_blobs(blobs: Blobs) -> CheckReport:
    """Read all that a store holds, and compare it with its checksums; nothing is moved or written.

    Raises
    ------
    Unreachable
        If the store does not answer.
    """
    report, damage, checkpoints = CheckReport(blobs.uri), Damage(blobs.uri), Checkpoints(blobs)
    rows = PartReader(blobs, ROW_SCHEMA, check_part, damage)
    fits = PartReader(blobs, FITS_SCHEMA, check_fit, damage)
    curves = PartReader(blobs, CURVES_SCHEMA, check_curve, damage)
    sweeps = Sweeps(blobs, damage)
    parts = [key for key in blobs.list(ROWS) if key.endswith(".parquet")]
    own = [key for key in parts if not is_compacted(key)]
    report.parts = _look(report, own, lambda key: rows.inspect(key).is_sealed)
    report.compacted = _look(report, set(parts) - set(own), lambda key: rows.inspect(key).is_sealed)
    fitted = [key for key in blobs.list(FITS) if key.endswith(".parquet")]
    report.fits = _look(report, fitted, lambda key: fits.inspect(key).is_sealed)
    drawn = [key for key in blobs.list(CURVES) if key.endswith(".parquet")]
    report.curves = _look(report, drawn, lambda key: curves.inspect(key).is_sealed)
    named = [KEY] if blobs.exists(KEY) else []
    beats = [key for key in blobs.list("logs") if key.endswith(".heartbeat.json")]
    report.documents = _look(report, named, lambda key: bool(identity_of(blobs)))
    report.documents += _look(report, sweeps.keys(), lambda key: bool(sweeps.read(key)) and is_sealed(blobs.get(key)))
    report.documents += _look(report, beats, lambda key: _heartbeat(blobs, key))
    verdicts = blobs.list("programs")
    report.documents += _look(report, verdicts, lambda key: _heartbeat(blobs, key))
    report.checkpoints = _look(report, checkpoints.keys(), lambda key: _checkpoint(checkpoints, key))
    weights = Weights(blobs)
    kept = {one.key: one for one in weights.files()}
    report.weights = _look(report, kept, lambda key: bool(weights.load(kept[key])))
    report.set_aside = blobs.list("damaged")
    report.unsealed.sort()
    report.damaged.sort(key=lambda broken: broken.key)
    return report


def _look(report: CheckReport, keys: Iterable[str], is_covered: Callable[[str], bool]) -> int:
    """Open some keys, several at a time; return how many are sound.

    Parameters
    ----------
    is_covered
        Returns whether a checksum covers what lies under a key, or raises what is wrong with it.
    """

    def answer(key: str) -> bool | str | None:
        try:
            return is_covered(key)
        except FileNotFoundError:  # compacted, dropped or set aside since it was listed
            return None
        except DamagedDocument as damage:
            return damage.reason
        except (DamagedPart, DamagedCheckpoint, DamagedWeights, UnreadableBlob, BadInput) as reason:
            return str(reason)

    names = sorted(keys)
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(answer, names))
    for key, found in zip(names, answers, strict=True):
        if isinstance(found, str):
            report.damaged.append(Broken(key, found))
        elif found is False:
            report.unsealed.append(key)
    return sum(isinstance(found, bool) for found in answers)


def _heartbeat(blobs: Blobs, key: str) -> bool:
    data = blobs.get(key)
    decode_document(data, f"{blobs.uri}/{key}")
    return is_sealed(data)


def _checkpoint(checkpoints: Checkpoints, key: str) -> bool:
    checkpoints.inspect(key)
    return digest_in(key) is not None
