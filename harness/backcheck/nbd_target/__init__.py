"""An NBD server of the harness's own: it keeps a disk in memory, writes down each request, and does as a case says.

Independent of the engine, and small. Nothing here knows cases; `story/recording_target.py` is what they use.

    wire.py        the protocol's numbers, and packing what a server sends
    connection.py  one connection as a server sees it, bytes in and bytes out, without a socket
    storage.py     the disk: sparse, in memory
    orders.py      what the server has been told to do with requests: hold, fail, disconnect, lie
    server.py      the server: a socket, connections, requests written down and carried out
    coverage.py    how often each range of the disk was written
"""
