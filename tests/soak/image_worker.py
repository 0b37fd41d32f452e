"""A process that runs backcheck-img many times: a JSON list of words a line in, status and complaints a line out."""

import contextlib
import gc
import io
import json
import sys

from backcheck_engine.tools import img


def serve() -> None:
    for line in sys.stdin:
        sys.argv = ["backcheck-img", *json.loads(line)]
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = img.main()
        # Each is a process in life, which leaves nothing in memory to the next. What is imported stays.
        gc.collect()
        if not gc.get_freeze_count():
            gc.freeze()
        print(json.dumps([status, len(out.getvalue()), error.getvalue()[-2000:]]), flush=True)


if __name__ == "__main__":
    serve()
