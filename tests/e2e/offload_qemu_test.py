# SPDX-License-Identifier: BSD-2-Clause
"""Real guests that leave checksums and segmentation to their device.

iperf3 in the guest, and its server on the host behind each device. A wrong
checksum is counted by who receives it; what was lent, and what of headers was
copied, is in the ledger.
"""

import collections
import json

from lib import image
from lib.daemon import FRAME_MAX_BYTES, Daemon
from lib.proc import check
from lib.qemu import QemuGuest, VhostUserNic
from lib.scenario import alone, cases, deadline
from lib.site import Side, need_pinning, start_site, wait_registered

TRANSFER_S = 2
RUN_TIMEOUT_S = 60
# what 14 + 20 + 32 bytes of headers are of 1448 bytes of payload, and some
HEADER_SHARE_MAX = 0.06
LENT_SHARE_MIN = 0.9
TOOLS = ("--tools",)
SOME_BYTES = 4 << 20

# what a port does with the super-frames of a guest:
#   we_cut   do we cut them for it, or is that left to the kernel?
#   options  of the port
Offloads = collections.namedtuple("Offloads", "driver we_cut options")
PORTS = {
    "xdp": Offloads("xdp", True, ""),
    "tap": Offloads("tap", False, ""),
    "tap,offloads=off": Offloads("tap", True, ",offloads=off"),
    "packet": Offloads("packet", False, ""),
    "packet,offloads=off": Offloads("packet", True, ",offloads=off"),
}


def snmp(text):
    """{"Tcp": {"InErrs": 0, ...}, ...} of /proc/net/snmp."""
    found = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        head, *names = names.split()
        found[head.rstrip(":")] = dict(zip(names, map(int, values.split()[1:])))
    return found


def check_checksums(who, text):
    counters = snmp(text)
    bad = {f"{p}.{n}": counters[p][n] for p in ("Tcp", "Udp")
           for n in ("InErrs", "InErrors", "InCsumErrors")
           if counters[p].get(n)}
    check(not bad, f"{who} met bad frames: {bad}")
    check(counters["Tcp"]["InSegs"] > 0, f"{who} received nothing over TCP")


def check_receivers(side):
    with side.peer_ns.entered(), open("/proc/thread-self/net/snmp",
                                      encoding="ascii") as f:
        check_checksums("the host", f.read())
    check_checksums("the guest", side.vm.run("cat /proc/net/snmp").output)


def features(side):
    """{name: bool} of `ethtool -k` in the guest."""
    output = side.vm.run("ethtool -k eth0").output
    pairs = (line.split(":") for line in output.splitlines()[1:])
    return {name.strip(): value.split()[0] == "on" for name, value in pairs}


def check_features(side, wanted):
    found = features(side)
    names = ("tx-checksumming", "scatter-gather", "tcp-segmentation-offload")
    check(all(found[n] == wanted for n in names),
          f"the guest has {({n: found[n] for n in names})}, wanted {wanted}")


def serve(side):
    server = side.t.spawn([*image.tool(side.t.root, "usr/bin/iperf3"), "-s",
                           "--forceflush"], "iperf3", ns=side.peer_ns)
    server.wait_line("Server listening", 10)


def iperf(client, address, *options):
    """Bits per second of a run of iperf3 in a guest."""
    done = client.run(f"iperf3 -J -t {TRANSFER_S} -c {address} "
                      + " ".join(options), RUN_TIMEOUT_S)
    said = json.loads(done.output)
    return said["end"]["sum_received"]["bits_per_second"]


def check_ledger(be, side, offloads):
    """Payload stays where it is, whoever cuts the frames."""
    pair = be.settled_pair(side.port, side.up)
    check(bool(pair.supers_cut) == offloads.we_cut,
          f"{pair.supers_cut} super-frames were cut here: {pair.data}")
    check(not pair.drops(), f"dropped: {pair.drops()}")
    if not side.device.lends:
        check(pair.lent_frames == 0, f"{pair.lent_frames} frames were lent")
        return
    check(pair.lent_share() >= LENT_SHARE_MIN,
          f"{pair.lent_share():.2%} lent; copies: {pair.copies()}")
    share = pair.header_bytes_copied / pair.lent_bytes
    check(share < HEADER_SHARE_MAX,
          f"{pair.header_bytes_copied} bytes of headers were copied for "
          f"{pair.lent_bytes} bytes of payload, {share:.2%}")
    side.t.note(f"{pair.lent_share():.1%} lent, headers {share:.2%}, "
                f"{pair.supers_cut} super-frames cut")


@alone
@deadline(240)
@cases("port", PORTS, quick=("xdp", "tap", "packet"))
def test_iperf3(t, port):
    offloads = PORTS[port]
    need_pinning(offloads.driver)
    side = Side(t, offloads.driver, options=offloads.options,
                image_options=TOOLS)
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    check_features(side, True)
    serve(side)
    there = iperf(side.vm, side.host)
    back = iperf(side.vm, side.host, "-R")
    check_receivers(side)
    check_ledger(be, side, offloads)
    t.note(f"{there / 1e6:.0f} Mbit/s out, {back / 1e6:.0f} in")
    be.stop()


@alone
@deadline(120)
def test_offloads_off(t):
    """Nothing is offered, and all goes on."""
    need_pinning("xdp")
    side = Side(t, "xdp", guest_options=",offloads=off", image_options=TOOLS)
    be = start_site(t, [side])
    side.reach()
    check_features(side, False)
    side.files(SOME_BYTES)
    check_receivers(side)
    pair = be.settled_pair(side.port, side.up)
    check(pair.supers_cut == 0 and pair.headers_made == 0,
          f"{pair.supers_cut} super-frames, {pair.headers_made} headers")
    be.stop()


@deadline(180)
def test_daemon_comes_back(t):
    """Another daemon serves the guest, which still leaves its headers open."""
    need_pinning("xdp")
    side = Side(t, "xdp", image_options=TOOLS)
    be = start_site(t, [side])
    side.reach()
    serve(side)
    for end in (be.terminate, be.kill):
        end()
        be.start()
        side.vm.ping(side.host)
        check_features(side, True)
        iperf(side.vm, side.host)
        check(be.pair(side.port, side.up).supers_cut > 0,
              "no super-frame was cut after the daemon came back")
    check_receivers(side)
    be.stop()


@alone
@deadline(240)
def test_guest_to_guest(t):
    """Super-frames go from guest to guest as they are."""
    names = ("a", "b")
    sockets = [t.path(n + ".sock") for n in names]
    addresses = [f"10.77.9.{i + 1}" for i in range(len(names))]
    be = Daemon(t, [f"{n}=guest:{s}" for n, s in zip(names, sockets)],
                ns=t.netns("daemon"))
    vms = [QemuGuest(t, [VhostUserNic(s, f"52:54:00:77:09:{i:02x}")],
                     name="vm-" + n, image_options=TOOLS)
           for i, (n, s) in enumerate(zip(names, sockets))]
    be.start()
    for vm in vms:
        vm.power_on()
    for vm, address in zip(vms, addresses):
        vm.come_up()
        vm.set_address(address + "/24")
    a, b = vms
    a.ping(addresses[1])
    b.run("iperf3 -s -D")
    rates = [iperf(a, addresses[1], *o) for o in ((), ("-R",))]
    for vm in vms:
        check_checksums(vm.name, vm.run("cat /proc/net/snmp").output)
    for source, egress in (names, reversed(names)):
        pair = be.settled_pair(source, egress)
        mean = pair.lent_bytes // pair.lent_frames
        check(pair.supers_cut == 0, f"{pair.supers_cut} super-frames were cut")
        check(pair.header_bytes_copied == 0 and pair.copied_bytes < SOME_BYTES,
              f"copied: {pair.data}")
        check(mean > FRAME_MAX_BYTES,
              f"{source} to {egress}: frames have {mean} bytes on average, "
              "so that super-frames did not pass whole")
        t.note(f"{source} to {egress}: {mean} bytes a frame")
    t.note(", ".join(f"{r / 1e6:.0f} Mbit/s" for r in rates))
    be.stop()
