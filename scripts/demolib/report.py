# SPDX-License-Identifier: BSD-2-Clause
"""What the picture says: the ledger of each network in words.

Nothing here is known beforehand: the figures are the daemon's ledger, and
what both ends of each wire have counted themselves.
"""

import collections

from checklib import reasons

from . import picture

# What one end of a wire counted: sent, received bit-exact, and damage.
Traffic = collections.namedtuple("Traffic", "unit sent sent_bytes received "
                                 "received_bytes damaged")

# device_reads: how the device gets at the bytes, in words
READS = {
    "dma": ("NIC reads it", "the NIC itself reads it there (DMA)"),
    "fragments": ("fragments", "the kernel passes its pages on, no copy"),
    "kernel-copy": ("kernel copies", "and there the kernel copies it once"),
    "bounce": ("bounce memory", "the device reads bounce memory only"),
    "delivery": ("delivers", "one copy, into the receive buffers"),
    "nothing": ("nobody reads", "nobody reads it"),
}


KERNEL_COPIES = (
    "Lent does not mean that nobody copied: {device} is a veth, with no hardware "
    "that could fetch a frame, so the kernel copied each one once, out of the "
    "guest's memory; guestwired did not. On a NIC with AF_XDP zero-copy that "
    "last copy goes too, and the port says 'dma'.")
SUPER_FRAMES = (
    "{guest} sent frames of {size} on average, more than the MTU: {device} takes "
    "super-frames (offloads on), so that the guest need not cut them.")
ETHERNET_FRAME_BYTES = 1514
# reasons that stand for an answer while there is none yet
PENDING = ("query_pending", "mapping_pending")


def reads(name):
    return READS.get(name, (name, name))


class Side:
    """One network of the demo, with all that is known about it at the end."""

    def __init__(self, letter, network, driver, what):
        self.letter = letter
        self.guest = f"guest {letter}"
        self.what = what              # "built-in", "Linux, QEMU"
        self.network = network
        self.driver = driver
        self.guest_port = letter.lower()
        self.device = network + "0"   # the daemon's end of the veth
        self.far = network + "1"      # the other end
        self.guest_traffic = self.far_traffic = None
        self.port = None              # show --json: the device's port
        self.out = self.back = None   # lib.daemon.Pair, both ways
        self.answer = None            # what the driver said about the memory

    def heard(self, pair):
        """Keep the last answer: when the guest's memory goes, it goes too."""
        query = pair.data.get("query")
        if query and query.get("verdict"):
            self.answer = query

    def answered(self):
        return bool(self.answer and self.answer["reason"] not in PENDING)

    def frames(self, pair):
        return pair.lent_frames + pair.copied_frames


def draw_boxes(canvas, side):
    lent = side.out.lent_frames
    whole = side.frames(side.out)
    if lent:
        word = f"lent {picture.share(lent, whole)}"
    else:
        word = f"copied {picture.share(side.out.copied_frames, whole)}"
    colour = "green" if lent else "yellow"
    device_word = reads(side.port["device_reads"])[0]
    picture.boxes(canvas, [
        [side.guest, side.what, "", "sends and", "receives"],
        [(word, colour), (picture.arrow(True, bool(lent)), colour),
         ("", None), (picture.arrow(False), None), ("delivered", None)],
        ["guestwired", f"{side.driver} port", side.device, "", "one process"],
        [(device_word, None), (picture.arrow(True), None), ("veth", "dim"),
         (picture.arrow(False), None), ("", None)],
        ["far end", side.far, "", "sends and", "receives"],
    ])


def draw_copies(canvas, pair):
    """The ledger counts bytes for all copies, and frames for each reason."""
    if not pair.copied_frames:
        return
    copies = sorted(pair.copies().items(), key=lambda item: -item[1])
    why = f": {copies[0][0]}" if len(copies) == 1 else ""
    picture.figure(canvas, "copied once by guestwired" + why,
                   pair.copied_frames, pair.copied_bytes, "yellow", 4)
    for reason, frames in copies if not why else ():
        picture.figure(canvas, f"because: {reason}", frames, None, None, 6)


def draw_drops(canvas, pair):
    for reason, frames in sorted(pair.drops().items()):
        picture.figure(canvas, f"dropped: {reason}", frames, None, "red", 4)


# What both ends say, independent of the daemon's ledger.

def draw_sent(canvas, name, traffic):
    picture.figure(canvas, f"sent by {name}, in {traffic.unit}",
                   traffic.sent, traffic.sent_bytes)


def draw_arrived(canvas, name, sender, receiver):
    good = receiver.received == sender.sent and not receiver.damaged
    mark = "✓" if good else "✗"
    picture.figure(canvas, f"{mark} arrived at {name}, bit-exact",
                   receiver.received, receiver.received_bytes,
                   "green" if good else "red")
    lost = sender.sent - receiver.received - receiver.damaged
    if lost > 0:
        picture.figure(canvas, "✗ did not arrive", lost, None, "red")
    if receiver.damaged:
        picture.figure(canvas, "✗ arrived damaged, twice or astray",
                       receiver.damaged, None, "red")


def draw_out(canvas, side):
    pair = side.out
    canvas.row((f"{side.guest} to {side.far}", "bold"))
    draw_sent(canvas, side.guest, side.guest_traffic)
    if pair.lent_frames:
        picture.figure(canvas, f"lent: read in {side.guest}'s own memory",
                       pair.lent_frames, pair.lent_bytes, "green", 4)
    draw_copies(canvas, pair)
    if pair.kernel_copied_frames:
        picture.figure(canvas, "all of them copied once more by the kernel"
                       if pair.copied_frames else "copied by the kernel",
                       pair.kernel_copied_frames, pair.kernel_copied_bytes,
                       None, 4)
    draw_drops(canvas, pair)
    draw_arrived(canvas, side.far, side.guest_traffic, side.far_traffic)


def draw_back(canvas, side):
    pair = side.back
    canvas.row((f"{side.far} to {side.guest}", "bold"))
    draw_sent(canvas, side.far, side.far_traffic)
    picture.figure(canvas, f"delivered: one copy, into {side.guest}'s buffers",
                   pair.lent_frames, pair.lent_bytes, None, 4)
    draw_copies(canvas, pair)
    draw_drops(canvas, pair)
    draw_arrived(canvas, side.guest, side.far_traffic, side.guest_traffic)


def draw_answer(canvas, side):
    said = "nothing: it was not asked"
    if side.answer:
        reason, text = side.answer.get("reason"), side.answer.get("text")
        said = side.answer["verdict"] + (f" ({reason})" if reason else "") + \
            (f": {text}" if text else "")
    canvas.prose(f"Can {side.device} read {side.guest}'s memory by itself? "
                 f"Asked, the {side.driver} driver said: {said}")


def draw_side(canvas, side):
    canvas.top(f"network {side.network}")
    draw_boxes(canvas, side)
    canvas.middle()
    header = "frames".rjust(picture.FRAMES_COLUMN) + \
        "bytes".rjust(picture.BYTES_COLUMN)
    canvas.row((header.rjust(picture.INNER), "dim"))
    draw_out(canvas, side)
    draw_back(canvas, side)
    canvas.middle()
    draw_answer(canvas, side)
    canvas.prose(f"{side.device}: device_reads {side.port['device_reads']}; "
                 + side.port["status"], colour="dim")
    canvas.bottom()


def used_reasons(sides):
    names = set()
    for side in sides:
        for pair in (side.out, side.back):
            names.update(pair.copies())
            names.update(pair.drops())
    return [(name, text) for name, text in reasons.table() if name in names]


def remarks(side):
    """What a veth cannot show; and why one guest sends fewer frames."""
    out = side.out
    if out.lent_frames and out.kernel_copied_frames:
        yield KERNEL_COPIES.format(device=side.device)
    mean = out.bytes // max(out.frames, 1)
    if mean > ETHERNET_FRAME_BYTES:
        yield SUPER_FRAMES.format(guest=side.guest, size=picture.size(mean),
                                  device=side.device)


def draw_words(canvas, sides):
    """What the names mean, and what there is to say of each side."""
    for name, text in used_reasons(sides):
        canvas.line((name, "bold"), f": {text}")
    for remark in (r for side in sides for r in remarks(side)):
        canvas.line()
        for line in picture.wrap(remark, picture.WIDTH):
            canvas.line(line)


def draw(canvas, sides):
    for side in sides:
        draw_side(canvas, side)
    draw_words(canvas, sides)
