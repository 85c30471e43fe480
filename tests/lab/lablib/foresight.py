# SPDX-License-Identifier: BSD-2-Clause
"""What guestwire probe says in the lab, compared with what a daemon does next."""

import json

from lib import foretold
from lib.proc import Failure, check

from .host import CONTROL

MTU = 1500
DRIVERS = ("xdp", "packet")
PROBE_TIMEOUT_S = 30
START_TIMEOUT_S = 20
# show's JSON of a daemon with this one port, or of none: it may not start
RUN = """
guestwired --control {control} --port up={driver}:{ifname} >/dev/null 2>&1 &
while kill -0 $! 2>/dev/null; do
	guestwire --control {control} show --json 2>/dev/null && break
	usleep 20000
done >/tmp/shown
cat /tmp/shown
[ -s /tmp/shown ] || echo '{{"ports": []}}'
guestwire --control {control} stop >/dev/null 2>&1
wait
"""


def probe(lab, ifname, *words):
    script = " ".join(["guestwire", "probe", ifname, "--json", *words])
    return json.loads(lab.run(script, PROBE_TIMEOUT_S).output)


def really(lab, driver, ifname):
    script = RUN.format(control=CONTROL, driver=driver, ifname=ifname)
    return json.loads(lab.run(script, START_TIMEOUT_S).output)


def disagreements(said, shown):
    """shown: {driver: what show said of a port of it}."""
    wrong = []
    for driver, show in shown.items():
        ifname = said["devices"][0]["name"]
        more, count = foretold.compare(
            said, show, None if show["ports"] else f"{driver}:{ifname}")
        check(count == 1, f"{count} ports were compared")
        wrong += more
    return wrong


def _compared(lab, ifname, zerocopy):
    asked = probe(lab, ifname)
    shown = {d: really(lab, d, ifname) for d in DRIVERS}
    tried = probe(lab, ifname, "--try")
    wrong = disagreements(asked, shown) + disagreements(tried, shown)
    if wrong:
        raise Failure("\n".join(wrong))
    said = [foretold.findings(tried["devices"][0], how)["xdp", "zero-copy"]
            for how in (foretold.ASKED, foretold.TRIED)]
    check(said[1]["verdict"] == zerocopy, f"zero-copy of {ifname}: {said}")
    lab.test.note(f"{said[0]['verdict']} then {said[1]['verdict']}: "
                  f"{said[1]['text']}")


def comes_true(lab, ifname, mtu, zerocopy):
    """The probe, asked and tried, says what each driver's port then is.

    zerocopy: what it has to say of it in the end.
    """
    if mtu == MTU:
        _compared(lab, ifname, zerocopy)
        return
    lab.run(f"ip link set {ifname} mtu {mtu}")
    try:
        _compared(lab, ifname, zerocopy)
    finally:
        lab.run(f"ip link set {ifname} mtu {MTU}")
        lab.wait_carrier(ifname)
