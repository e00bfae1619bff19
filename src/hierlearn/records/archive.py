"""Archives: the records of one profile as one file, to bring them home from another machine.

An archive is a zip file that holds a frozen folder: `manifest.json` and one file an experiment.
Importing one trusts nothing: it reads only members of these very names, and then asks of them
what freezing asks of working records.
"""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from hierlearn.experiment import PROFILES, Experiment
from hierlearn.records.files import read_lines, write_file, writing
from hierlearn.records.freezing import freeze
from hierlearn.records.schema import Manifest, RecordError, read_manifest
from hierlearn.records.store import RecordStore, groups_of

MAX_BYTES = 200_000_000
"""What an archive may unpack to; the records of a whole profile are a few MB."""


def export_records(
    store: RecordStore, archive: Path, profile: str, experiments: Iterable[Experiment]
) -> Manifest:
    """Write the records of `experiments` at `profile` into the file `archive`; return its manifest.

    The same records give the same bytes. Raises RecordError, as freezing does, unless every group
    is there, of today's code, and where `archive` is already a file of another kind; nothing is
    written then.
    """
    if archive.exists() and not _is_archive(archive):
        raise RecordError(
            f"{archive} is there and is no archive of records; give the name of a new file, or of "
            "an older archive to replace"
        )
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder) / "frozen"
        manifest = freeze(store, frozen, profile, list(experiments))
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as file:
            for path in sorted(path for path in frozen.rglob("*") if path.is_file()):
                # A fixed time and mode: an archive says nothing of when and where it was packed.
                member = zipfile.ZipInfo(path.relative_to(frozen).as_posix())
                member.external_attr = 0o644 << 16
                member.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(member, path.read_bytes(), compresslevel=9)
    with writing(archive):
        write_file(archive, content.getvalue())
    return manifest


def import_records(
    archive: Path, frozen_root: Path, experiments: Mapping[str, Experiment]
) -> Manifest:
    """Merge the records in `archive` into `frozen_root`; return the manifest of what was merged.

    Each experiment in it replaces the one of that profile; the others stay. Raises RecordError that
    lists what is wrong, by member and line: damage, unknown experiments, incomplete groups, records
    of no group of the profile, records of other code than today's. Nothing is changed then.
    """
    members = _read(archive, experiments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, content in members.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        try:
            manifest = read_manifest(folder)
            profile = _check_contents(manifest, set(members))
            chosen = [experiments[name] for name in manifest[profile]]
            strays = [line for one in chosen for line in _strays(folder, one, profile)]
            if strays:
                raise RecordError("\n".join(strays))
            freeze(RecordStore(folder), frozen_root, profile, chosen)
        except RecordError as error:
            text = str(error).replace(f"{folder}/", f"{archive}: ")
            raise RecordError(
                f"nothing imported from {archive}; its records must be whole and computed by the "
                f"code of this checkout:\n{text}"
            ) from error
    return manifest


def _is_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return "manifest.json" in file.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def _read(archive: Path, experiments: Mapping[str, Experiment]) -> dict[str, bytes]:
    """Return the members of a zip file by name, all of them expected, none read past the limit."""
    expected = {f"{profile}/{name}.jsonl" for profile in PROFILES for name in experiments}
    try:
        with zipfile.ZipFile(archive) as file:
            infos = file.infolist()
            names = [info.filename for info in infos]
            for name in names:
                if name not in expected | {"manifest.json"} or names.count(name) > 1:
                    raise RecordError(
                        f"{archive}: holds {name!r}, once or more often; valid: once each "
                        "manifest.json and PROFILE/EXPERIMENT.jsonl of an experiment of this book"
                    )
            # `read` gives at most the stated size, so a lie about it is an error, not a bomb.
            if (size := sum(info.file_size for info in infos)) > MAX_BYTES:
                raise RecordError(f"{archive}: unpacks to {size} bytes; at most {MAX_BYTES} valid")
            return {info.filename: file.read(info) for info in infos}
    except RecordError:
        raise
    except Exception as error:  # BadZipFile, zlib.error, struct.error, ...: a decoder's own
        raise RecordError(f"{archive} is not a readable archive of records: {error}") from error


def _check_contents(manifest: Manifest, members: set[str]) -> str:
    """Return the one profile of a manifest that lists exactly the `members`."""
    listed = {f"{profile}/{name}.jsonl" for profile, found in manifest.items() for name in found}
    if len(manifest) != 1 or listed != members - {"manifest.json"}:
        raise RecordError(
            f"manifest.json lists {', '.join(sorted(listed)) or 'nothing'}; the archive holds "
            f"{', '.join(sorted(members))}; valid: the same files, of one profile"
        )
    return next(iter(manifest))


def _strays(folder: Path, experiment: Experiment, profile: str) -> list[str]:
    """Return, by file and line, the records that belong to no group of the profile."""
    path = folder / profile / f"{experiment.name}.jsonl"
    known = {group.key for group in groups_of(experiment, profile)}
    return [
        f"  {path}:{number}: the record belongs to no group of {experiment.name} at {profile}"
        for number, record in read_lines(path)[0]
        if record.group not in known
    ]
