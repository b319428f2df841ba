"""Acceptance test 13: the CA turned by hand and certificates renewed by age, under load, without a restart; what does not fit is refused."""

import base64
import time

import pytest
from harness.certificates import fingerprints, shown
from harness.wait import eventually
from kube.kind import run
from test_scale import finish, loaded

#: A mounted Secret changes within a minute or two where no annotation hurries it, and there are three steps.
TURN_SECONDS = 480


def secret(rides, name):
    """The texts of a Secret."""
    data = rides.kind.find("secret", name, rides.namespace)["data"]
    return {key: base64.b64decode(text).decode() for key, text in data.items()}


def all_shown(rides):
    """The fingerprint of the certificate that each node shows."""
    return {name: shown(f"{pod['status']['podIP']}:7001") for name, pod in rides.pods().items()}


def is_turned(rides, before):
    """Whether the CA of before is nowhere any more, and nothing is left to do."""
    identity = secret(rides, "rides-identity")
    now = fingerprints(identity["ca.crt"])
    nodes = [fingerprints(secret(rides, f"rides-{id}")["ca.crt"]) for id in (1, 2, 3)]
    is_calm = rides.condition("Progressing")[0] == "False" and rides.condition("Ready")[0] == "True"
    return now != before and "next-ca.crt" not in identity and all(node == now for node in nodes) and is_calm


@pytest.mark.long
def test_a_ca_is_turned_by_hand_under_load(operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    uids, before = rides.uids(), all_shown(rides)
    first = fingerprints(secret(rides, "rides-identity")["ca.crt"])
    begin, seen = time.monotonic(), set()

    def turned():
        seen.add(rides.condition("Progressing")[1])
        return is_turned(rides, first)

    rides.apply(tls={"rotatedAt": "first"})
    eventually("another CA", turned, TURN_SECONDS, every=1)
    say(f"turned in {time.monotonic() - begin:.0f} s")
    assert "RotatingCertificates" in seen, seen
    after = all_shown(rides)
    assert all(after[name] != before[name] for name in before), (before, after)
    assert rides.uids() == uids, "no pod was replaced"
    assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in rides.pods().values())
    finish(load, say)


def make_ca(folder, name, is_ca=True):
    """A CA as a person makes one; answers the texts of its certificate and key."""
    key, cert, config = folder / f"{name}.key", folder / f"{name}.crt", folder / "plain.cnf"
    config.write_text("[req]\ndistinguished_name = name\n[name]\n")
    what = f"basicConstraints=critical,CA:{str(is_ca).upper()}"
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "plain")
    run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", folder / "plain", "-out", key)
    run("openssl", "req", "-config", config, "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", "30", "-addext", what, "-out", cert)
    return cert.read_text(), key.read_text()


def offer(rides, cert, key):
    data = {name: base64.b64encode(text.encode()).decode() for name, text in {"ca.crt": cert, "ca.key": key}.items()}
    rides.kind.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own-ca"}, "data": data}, namespace=rides.namespace)


@pytest.mark.long
def test_a_wrong_secret_is_refused_and_a_right_one_is_taken(operator, cluster, tmp_path, say):
    rides = cluster()
    load = loaded(rides)
    uids, before = rides.uids(), all_shown(rides)
    first = fingerprints(secret(rides, "rides-identity")["ca.crt"])
    own, other = make_ca(tmp_path, "own"), make_ca(tmp_path, "other")
    no_ca = make_ca(tmp_path, "leaf", is_ca=False)

    def refused(why):
        def told():
            _, reason, message = rides.condition("Degraded")
            return reason == "CertificateRefused" and why in message

        eventually(f"{why!r}, {rides.told()}", told, 90, every=0.5)

    rides.apply(tls={"secretName": "own-ca"})
    refused("does not exist")
    for (cert, key), why in [((own[0], other[1]), "does not belong"), (no_ca, "no CA"), (("garbage", own[1]), "no certificate")]:
        offer(rides, cert, key)
        refused(why)
    assert all_shown(rides) == before and fingerprints(secret(rides, "rides-identity")["ca.crt"]) == first
    assert rides.condition("Ready")[0] == "True"

    offer(rides, *own)
    eventually("the CA of the Secret", lambda: is_turned(rides, first), TURN_SECONDS, every=1)
    assert fingerprints(secret(rides, "rides-identity")["ca.crt"]) == fingerprints(own[0])
    assert rides.condition("Degraded")[0] == "False"
    assert rides.uids() == uids
    finish(load, say)


@pytest.mark.long
def test_certificates_are_renewed_by_age_and_garbage_is_refused(operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    uids, before = rides.uids(), all_shown(rides)
    first = fingerprints(secret(rides, "rides-identity")["ca.crt"])
    # Those of before last longer than is wanted now.
    rides.apply(tls={"certificateLife": "24h"})
    eventually("certificates of everybody", lambda: not set(all_shown(rides).values()) & set(before.values()), TURN_SECONDS, every=2)
    rides.settle(3)
    assert fingerprints(secret(rides, "rides-identity")["ca.crt"]) == first, "the CA is as good as it was"
    renewed = all_shown(rides)

    garbage = base64.b64encode(b"garbage").decode()
    rides.kind.kubectl("patch", "secret", "rides-2", "-n", rides.namespace, "--type=merge", "-p", f'{{"data": {{"tls.crt": "{garbage}"}}}}')
    rides.kind.kubectl("annotate", "pod", "rides-2-0", "-n", rides.namespace, f"looked-at={time.time():.0f}")

    def told():
        logs = rides.kind.kubectl("logs", "-n", rides.namespace, "rides-2-0", "--tail=2000")
        return "the changed certificates can't be used" in logs

    eventually("the node says so", told, 180, every=2)
    assert all_shown(rides) == renewed, "what was loaded stays"
    assert rides.uids() == uids
    assert rides.condition("Ready")[0] == "True"
    finish(load, say)
