"""etcd3gw over TLS: everything that a program in Python asks of the JSON gateway."""

import os

from etcd3gw import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception

WAIT = 20


def connect():
    client = Etcd3Client(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        protocol="https",
        ca_cert=os.environ["CA"],
        cert_cert=os.environ["CERT"],
        cert_key=os.environ["KEY"],
        timeout=WAIT,
    )
    # Neither proxies nor other authorities of the machine.
    client.session.trust_env = False
    return client


def pairs(client):
    assert client.put("fruit/apple", "red")
    assert client.put("fruit/pear", "green")
    assert client.get("fruit/apple") == [b"red"]
    assert client.get("nothing") == []
    found = client.get_prefix("fruit/", sort_order="descend", sort_target="key")
    assert [value for value, _ in found] == [b"green", b"red"], found
    assert found[0][1]["key"] == b"fruit/pear", found
    assert client.create("once", "1") and not client.create("once", "2")
    assert client.replace("once", "1", "3") and not client.replace("once", "1", "4")
    assert client.get("once") == [b"3"]
    binary = bytes(range(256))
    assert client.put(b"\x00\xff", binary) and client.get(b"\x00\xff") == [binary]
    assert client.delete("once") and not client.delete("once")
    assert client.delete_prefix("fruit/") and client.get_prefix("fruit/") == []
    assert client.status()["version"] and len(client.members()) == 1


def transactions(client):
    from etcd3gw.utils import _encode

    key = _encode("txn")
    txn = {
        "compare": [{"key": key, "result": "EQUAL", "target": "VERSION", "version": 0}],
        "success": [{"request_put": {"key": key, "value": _encode("new")}}],
        "failure": [{"request_range": {"key": key}}],
    }
    first = client.transaction(txn)
    assert first["succeeded"], first
    second = client.transaction(txn)
    assert not second.get("succeeded"), second
    kvs = second["responses"][0]["response_range"]["kvs"]
    assert kvs[0]["value"] == _encode("new"), second


def leases(client):
    lease = client.lease(ttl=60)
    assert client.put("leased", "x", lease)
    assert 0 < lease.ttl() <= 60 and lease.refresh() == 60
    assert lease.keys() == [b"leased"], lease.keys()
    assert lease.revoke() and client.get("leased") == []


def locks(client):
    held = client.lock("door", ttl=60)
    assert held.acquire() and held.is_acquired()
    other = connect().lock("door", ttl=60)
    assert not other.acquire() and not other.is_acquired()
    assert held.refresh() == 60 and held.release()
    assert other.acquire() and other.release()


def watches(client):
    # The watch begins on a thread of its own, so from a revision that is known.
    start = int(client.status()["header"]["revision"]) + 1
    events, cancel = client.watch("seen", start_revision=start)
    client.put("seen", "1")
    client.delete("seen")
    event = next(events)
    assert event["kv"]["value"] == b"1", event
    assert next(events)["type"] == "DELETE"
    cancel()
    start = int(client.status()["header"]["revision"]) + 1
    client.put("past/1", "a")
    events, cancel = client.watch_prefix("past/", start_revision=start)
    assert next(events)["kv"]["value"] == b"a"
    cancel()


def users(client):
    def ask(path, body):
        return client.post(client.get_url(path), json=body)

    def log_in(name, password):
        token = ask("/auth/authenticate", {"name": name, "password": password})["token"]
        client.session.headers["Authorization"] = token

    def refused(call):
        try:
            call()
        except Etcd3Exception:
            return True
        return False

    ask("/auth/role/add", {"name": "root"})
    ask("/auth/role/add", {"name": "reader"})
    permission = {"permType": "READ", "key": "Zg==", "range_end": "Zw=="}
    ask("/auth/role/grant", {"name": "reader", "perm": permission})
    for name, role in [("root", "root"), ("eve", "reader")]:
        ask("/auth/user/add", {"name": name, "password": "pass"})
        ask("/auth/user/grant", {"user": name, "role": role})
    ask("/auth/enable", {})
    assert refused(lambda: client.get("free"))
    log_in("eve", "pass")
    assert client.get("free") == []
    assert refused(lambda: client.put("free", "1")) and refused(lambda: client.get("secret"))
    assert refused(lambda: log_in("eve", "wrong"))
    log_in("root", "pass")
    assert client.put("secret", "1") and client.get("secret") == [b"1"]
    ask("/auth/disable", {})


client = connect()
for part in [pairs, transactions, leases, locks, watches, users]:
    part(client)
    print(part.__name__, "ok")
