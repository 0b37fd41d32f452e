"""Whatever the clusters of source and store, what is pulled is the start, and what is kept are whole job clusters."""

from backcheck import Case, JsonObject, KiB, MiB, case

STORES = {"512": 64 * KiB, "64k": 64 * KiB, "2M": 2 * MiB}
"""Cluster size of the store -> job cluster."""


@case(rules=["FLT-11", "SIZE-01", "SIZE-03", "CBW-15"], groups=["nbd", "export", "none", "pull", "size"])
def run(t: Case) -> None:
    size = 5 * MiB + 512
    base = t.image("base.img", size=3 * MiB, options={"cluster_size": "4k"})
    base.write(0x11)
    disk = t.drive("disk0", image=t.image("disk0.img", size=size, backing=base, options={"cluster_size": "512"}))
    disk.write(0x22, offset=MiB + 512, length=1536)
    disk.write(0x33, offset=5 * MiB, length=512)
    t.qmp("nbd-server-start", addr={"type": "unix", "data": {"path": "nbd.sock"}})

    for cluster_size, job_cluster in STORES.items():
        t.step(f"clusters of {cluster_size}")
        name = f"store-{cluster_size}"
        store = t.image(f"{name}.img", size=size, options={"cluster_size": cluster_size})
        file: JsonObject = {"driver": "file", "filename": store.name}
        target = t.node(name, tree={"driver": "qcow2", "file": file, "backing": "disk0-node"})
        before = disk.content
        job = t.blockdev_backup(disk, target, sync="none")
        t.qmp("nbd-server-add", device=name, name="start")
        disk.write(0x44, offset=MiB + 1024, length=512)
        disk.write(0x55, offset=4 * MiB - 512, length=1024)
        disk.write(0x66, offset=5 * MiB, length=512)
        clusters = 3 if job_cluster == 2 * MiB else 4
        job.expect_query(status="running", offset=clusters * job_cluster)
        pulled = t.img("convert", "-f", "raw", "-O", "raw", "nbd:unix:nbd.sock:exportname=start", "pulled.img")
        t.expect("status of img convert", pulled.status, 0)
        t.existing_image("pulled.img", format="raw").expect_identical(before)
        job.cancel()
        job.wait().expect_cancelled()
        t.qmp("nbd-server-remove", name="start")
        t.wait_event("BLOCK_EXPORT_DELETED")
        t.qmp("blockdev-del", node_name=name)
