"""What has changed in an output since it was written, in words."""

from __future__ import annotations

from airflow_mlpipe.content import ContentSummary, Manifest

_NAMED = 3


def describe(recorded: ContentSummary, then: Manifest | None, now: Manifest | None) -> str:
    """Say which files differ.

    :param recorded: what the reuse record says.
    :param then: the manifest kept beside the output, ``None`` if it is gone.
    :param now: what lies there now, ``None`` if it was deleted while we looked.
    """
    if now is None:
        return "it was deleted"
    if then is None or then.summary != recorded:
        there = now.summary
        written = f"{recorded.files} files with {recorded.size} bytes"
        return f"{written} were written, {there.files} files with {there.size} bytes are there"
    if then.kind != now.kind:
        return f"a {then.kind} was written, a {now.kind} is there"
    before = {entry.path: entry.digest for entry in then.entries}
    after = {entry.path: entry.digest for entry in now.entries}
    if then.kind == "file":
        return "its bytes differ"
    changes = [f"{path} is missing" for path in sorted(before.keys() - after.keys())]
    changes += [f"{path} differs" for path in sorted(before.keys() & after.keys()) if before[path] != after[path]]
    changes += [f"{path} is new" for path in sorted(after.keys() - before.keys())]
    if not changes:
        return "its empty folders differ"
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    return f"{len(changes)} of {len(before | after)} files ({', '.join(changes[:_NAMED])}{more})"
