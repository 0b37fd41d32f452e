"""An argument is unexpected in the releases before its own, and cbw-timeout in all."""

from backcheck import Case, MiB, case


@case(rules=["ARG-20", "ARG-21", "ARG-22", "ARG-23", "ERR-31"], groups=["arg", "release", "quick"])
def run(t: Case) -> None:
    t.drive("disk0", size=MiB)
    wanted = {"device": "disk0", "target": "target.img", "sync": "full", "job-id": "1 is refused where it is known"}

    t.step("each alone")
    for later in (
        {"x-perf": {"min-cluster-size": 65536}},
        {"discard-source": False},
        {"on-cbw-error": "break-guest-write"},
        {"cbw-timeout": 1},
    ):
        t.expect_error("drive-backup", {**wanted, **later})

    t.step("the bounds of min-cluster-size, where it is known")
    for size in (1000, -1):
        t.expect_error("drive-backup", {**wanted, "x-perf": {"min-cluster-size": size}})
