"""Iothreads are made and deleted by clients; what is wrong about one leaves none behind."""

from backcheck import Case, JsonObject, case


@case(rules=["DEV-04"], groups=["iothread", "error", "quick"])
def run(t: Case) -> None:
    t.start("-object", "iothread,id=thread0")

    t.step("as the releases write it")
    t.qmp("object-add", qom_type="iothread", id="thread1", poll_max_ns=5)
    t.exchange("object-add", qom_type="iothread", id="thread2", props={"poll-max-ns": 6})
    t.record("threads", {name: info["poll-max-ns"] for name, info in sorted(threads(t).items())})
    t.record("what is told of one", {"keys": " ".join(sorted(threads(t)["thread0"]))})

    t.step("refused")
    t.expect_error("object-add", qom_type="iothread", id="thread3", nope=1)
    t.expect_error("object-add", qom_type="iothread", id="thread3", poll_max_ns="x")
    bounds = "poll-max-ns value must be in range [0, 9223372036854775807]"
    t.expect_error("object-add", qom_type="iothread", id="thread3", poll_max_ns=-1, error=bounds)
    twice = "attempt to add duplicate property 'thread1' to object (type 'container')"
    t.expect_error("object-add", qom_type="iothread", id="thread1", error=twice)
    t.expect_error("object-add", qom_type="nope", id="thread3")
    t.expect_error("object-add", qom_type="iothread", error="Parameter 'id' is missing")
    t.expect_error("object-add", id="thread3", error="Parameter 'qom-type' is missing")
    t.expect("thread3", "thread3" in threads(t), False)

    t.step("how it polls can be changed")
    t.qmp("qom-set", path="/objects/thread1", property="poll-max-ns", value=7)
    t.expect_error("qom-set", path="/objects/thread1", property="poll-max-ns", value=-7, error=bounds)
    wrong = "Invalid parameter type for 'poll-max-ns', expected: integer"
    t.expect_error("qom-set", path="/objects/thread1", property="poll-max-ns", value="x", error=wrong)
    t.expect_state("thread1", threads(t)["thread1"], poll_max_ns=7)

    t.step("deleted")
    t.qmp("object-del", id="thread1")
    t.expect_error("object-del", id="thread1", error="object 'thread1' not found")
    t.qmp("object-del", id="thread0")
    t.expect("threads", "thread0" in threads(t) or "thread1" in threads(t), False)


def threads(t: Case) -> dict[str, JsonObject]:
    """The iothreads by their ids."""
    return {str(info["id"]): info for info in t.ask_list("query-iothreads")}
