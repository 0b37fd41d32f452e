"""A running engine that backs image files up to image files."""

from pathlib import Path

from tests.monitor.program import Message, Peer


class Machine:
    """The client's side of its monitor."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def back_up(self, source: Path, source_format: str, target: Path, target_format: str, *, compress: bool) -> str:
        """A full backup of a disk in `source` onto the image `target`, which is there already; the job's error, or "".

        Nobody traces requests, as they do in numbered cases: so clusters are copied together where that is faster.
        """
        file = {"driver": "file", "filename": str(source)}
        self._execute("blockdev-add", node_name="source", driver=source_format, read_only=True, file=file)
        self._execute(
            "drive-backup",
            job_id="backup",
            device="source",
            target=str(target),
            format=target_format,
            mode="existing",
            sync="full",
            compress=compress,
        )
        while (event := self._event())["event"] != "BLOCK_JOB_COMPLETED":
            assert event["event"] in ("JOB_STATUS_CHANGE", "BLOCK_JOB_ERROR"), event
        while self._event()["data"]["status"] != "null":
            pass
        self._execute("blockdev-del", node_name="source")
        return str(event["data"].get("error", ""))

    def _execute(self, command: str, **arguments: object) -> None:
        reply = self._peer.execute(command, **arguments)
        assert "return" in reply, reply

    def _event(self) -> Message:
        return self._peer.events.pop(0) if self._peer.events else self._peer.message()
