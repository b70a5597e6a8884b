"""`storm artifact ls | show | lineage`: what is there, what is in it, where it comes from."""

import json
from collections.abc import Sequence

from storm_core.progress import answer
from storm_core.stores.inventory import Place
from storm_core.stores.lineage import Ancestor, Lineage
from storm_core.stores.references import open_store, reference_manifest, required_store, store_of

_DIGEST_SHOWN = 12


def ls(store: str | None, kind: str | None, *, unfinished: bool, as_json: bool) -> int:
    """List the artifacts of a store, the newest first."""
    places = [
        place
        for place in required_store(store).places()
        if kind in (None, place.kind) and (place.finished or unfinished)
    ]
    places.sort(key=lambda place: (place.modified, place.location.uri), reverse=True)
    if as_json:
        for place in places:
            answer(json.dumps(_place_as_object(place), sort_keys=True))
        return 0
    rows = [
        (
            place.kind,
            place.digest[:_DIGEST_SHOWN],
            str(place.files),
            human_size(place.size),
            place.modified.astimezone().strftime("%Y-%m-%d %H:%M"),
            place.location.uri if place.finished else f"{place.location.uri}  (unfinished)",
        )
        for place in places
    ]
    _print_table(("KIND", "DIGEST", "FILES", "SIZE", "MODIFIED", "URI"), rows)
    return 0


def show(reference: str, *, as_json: bool) -> int:
    """Show an artifact's manifest: producer, inputs, metrics, files."""
    manifest = reference_manifest(reference)
    if as_json:
        answer(manifest.to_json().rstrip())
        return 0
    producer = manifest.producer
    made_by = " ".join(str(producer[name]) for name in ("verb", "version") if name in producer) or "no stage"
    _print_fields(
        {
            "kind": manifest.kind or "(foreign directory)",
            "digest": manifest.digest,
            "uri": manifest.uri or "",
            "made by": made_by,
            "size": f"{human_size(sum(entry.size for entry in manifest.files))} in {len(manifest.files)} files",
        }
    )
    _print_section("options", {name: json.dumps(value) for name, value in producer.get("config", {}).items()})
    _print_section("inputs", {name: " ".join(digests) for name, digests in manifest.inputs.items()})
    _print_section("metrics", {name: f"{value:.6g}" for name, value in manifest.metrics.items()})
    _print_section("files", {entry.path: f"{entry.sha256}  {human_size(entry.size)}" for entry in manifest.files})
    return 0


def lineage(reference: str, store: str | None, *, as_json: bool) -> int:
    """Show what an artifact was made from, back to its sources."""
    manifest = reference_manifest(reference)
    searched = open_store(store) if store else store_of(manifest)
    for ancestor in Lineage(searched).walk(manifest, manifest.uri or reference):
        answer(json.dumps(_as_object(ancestor), sort_keys=True) if as_json else _as_line(ancestor))
    return 0


def _place_as_object(place: Place) -> dict[str, object]:
    shown = {**vars(place), "uri": place.location.uri, "modified": place.modified.isoformat()}
    del shown["location"]
    return shown


def _as_object(ancestor: Ancestor) -> dict[str, object]:
    manifest = ancestor.manifest
    return {
        "depth": ancestor.depth,
        "input": ancestor.input_name,
        "digest": ancestor.digest,
        "reference": ancestor.reference,
        "kind": manifest.kind if manifest else None,
        "verb": manifest.producer.get("verb") if manifest else None,
        "seen": ancestor.seen,
    }


def _as_line(ancestor: Ancestor) -> str:
    indent = "  " * ancestor.depth
    name = f"{ancestor.input_name}: " if ancestor.input_name else ""
    if ancestor.manifest is None:
        return f"{indent}{name}{ancestor.digest[:_DIGEST_SHOWN]}  source, {ancestor.reference or 'not in the store'}"
    kind = ancestor.manifest.kind or "foreign"
    verb = ancestor.manifest.producer.get("verb")
    made_by = f" by {verb}" if verb else ""
    seen = "  (see above)" if ancestor.seen else f"  {ancestor.reference}"
    return f"{indent}{name}{kind} {ancestor.digest[:_DIGEST_SHOWN]}{made_by}{seen}"


def human_size(size: int) -> str:
    """A size in bytes with the decimal unit that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.1f} TB"


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        answer("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_section(title: str, rows: dict[str, str]) -> None:
    if rows:
        answer(f"\n{title}")
        _print_fields({f"  {name}": text for name, text in rows.items()})


def _print_fields(rows: dict[str, str]) -> None:
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        answer(f"{name.ljust(width)}  {text}".rstrip())
