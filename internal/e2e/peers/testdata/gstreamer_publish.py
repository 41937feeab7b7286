# Publishes the start of a WAV file (16 bit) from webrtcbin of GStreamer:
#   WHIP_TOKEN=... python3 gstreamer_publish.py WHIP-URL FILE SECONDS opus|pcmu [trickle]
# It prints the number of packets that GStreamer has sent, and the status of the DELETE. With WHIP_SDP=1 it prints the offer and
# the answer to stderr. `gstreamer_publish.py check` fails if an element is missing.
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import wave

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

CODECS = {
    "opus": "opusenc ! rtpopuspay pt=96 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000",
    "pcmu": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay min-ptime=20000000 max-ptime=20000000"
            " ! application/x-rtp,media=audio,encoding-name=PCMU,payload=0,clock-rate=8000",
}
ELEMENTS = ("appsrc", "audioconvert", "audioresample", "opusenc", "rtpopuspay", "mulawenc", "rtppcmupay", "identity",
            "webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "rtpbin")
SLICE = 50  # buffers a second
PATIENCE = 15  # seconds for each step


def request(method, url, body=None, headers=None):
    headers = {"Authorization": "Bearer " + os.environ.get("WHIP_TOKEN", "none"), **(headers or {})}
    r = urllib.request.Request(url, data=body.encode() if body else None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(r, timeout=PATIENCE) as resp:
            return resp.status, resp.headers, resp.read().decode()
    except urllib.error.HTTPError as e:
        sys.exit("%s %s: %d %s" % (method, url, e.code, e.read().decode()))


def wait(event, what):
    if not event.wait(PATIENCE):
        sys.exit("no " + what)


class Sender:
    def __init__(self, codec):
        self.gathered, self.connected, self.played = threading.Event(), threading.Event(), threading.Event()
        self.candidates, self.replies = [], []
        self.pipeline = Gst.parse_launch(
            "appsrc name=source is-live=true format=time max-bytes=0 ! audioconvert ! audioresample ! "
            + CODECS[codec] + " ! identity sync=true ! webrtcbin name=webrtc bundle-policy=max-bundle")
        self.webrtc, self.source = self.pipeline.get_by_name("webrtc"), self.pipeline.get_by_name("source")
        self.ice = self.webrtc.get_property("ice-agent")  # kept: GStreamer 1.22 gives its only reference away
        self.ice.emit("add-local-ip-address", "127.0.0.1")
        self.webrtc.connect("on-ice-candidate", lambda _, section, text: self.candidates.append(text))
        self.webrtc.connect("notify::ice-gathering-state", self.changed)
        self.webrtc.connect("notify::connection-state", self.changed)
        pad = self.webrtc.get_static_pad("sink_0")
        pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self.passed)
        pad.get_property("transceiver").set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

    def changed(self, webrtc, spec):
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()
        if webrtc.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            self.connected.set()

    def passed(self, pad, info):
        if info.get_event().type == Gst.EventType.EOS:
            self.played.set()
        return Gst.PadProbeReturn.OK

    def ask(self, signal, *args):
        promise = Gst.Promise.new()
        self.webrtc.emit(signal, *args, promise)
        if promise.wait() != Gst.PromiseResult.REPLIED:
            sys.exit(signal + " was not answered")
        reply = promise.get_reply()
        self.replies.append((promise, reply))  # which own the descriptions in them
        if reply and reply.has_field("error"):
            sys.exit("%s: %s" % (signal, reply.to_string()))
        return reply

    def offer(self):
        offer = self.ask("create-offer", None).get_value("offer")
        self.ask("set-local-description", offer)
        return offer.sdp.as_text()

    def answer(self, text):
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        self.ask("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp))

    def play(self, file, seconds):
        with wave.open(file) as f:
            rate, n = f.getframerate(), f.getframerate() // SLICE
            self.source.set_property("caps", Gst.Caps.from_string(
                "audio/x-raw,format=S16LE,layout=interleaved,rate=%d,channels=%d" % (rate, f.getnchannels())))
            start = self.pipeline.get_clock().get_time() - self.pipeline.get_base_time()
            for i in range(int(seconds * SLICE)):
                buffer = Gst.Buffer.new_wrapped(f.readframes(n))
                buffer.pts, buffer.duration = start + i * Gst.SECOND // SLICE, Gst.SECOND // SLICE
                self.source.emit("push-buffer", buffer)
        self.source.emit("end-of-stream")
        if not self.played.wait(seconds + PATIENCE):
            sys.exit("the audio was not sent")

    def sent(self):
        """Returns the number of RTP packets that webrtcbin has counted."""
        total = []

        def add(_, stats):
            if isinstance(stats, Gst.Structure) and stats.has_field("packets-sent"):
                total.append(stats.get_value("packets-sent"))
            return True

        self.ask("get-stats", None).foreach(add)
        return max(total)


def fragment(offer, candidates):
    """Returns a body of application/trickle-ice-sdpfrag, RFC 8840."""
    lines = offer.splitlines()
    keep = [next(s for s in lines if s.startswith(key)) for key in ("a=ice-ufrag", "a=ice-pwd", "m=audio", "a=mid")]
    return "\r\n".join(keep + ["a=" + c for c in candidates] + ["a=end-of-candidates", ""])


def main(url, file, seconds, codec, mode="plain"):
    Gst.init(None)
    sender = Sender(codec)
    sender.pipeline.set_state(Gst.State.PLAYING)
    offer = sender.offer()
    if mode != "trickle":
        wait(sender.gathered, "candidates")
        offer = sender.webrtc.get_property("local-description").sdp.as_text()
    assert ("a=candidate" in offer) == (mode != "trickle"), offer
    status, headers, answer = request("POST", url, offer, {"Content-Type": "application/sdp"})
    assert status == 201, status
    resource = urllib.parse.urljoin(url, headers["Location"])
    if os.environ.get("WHIP_SDP"):
        print(offer, answer, sep="\n", file=sys.stderr)
    if mode == "trickle":
        wait(sender.gathered, "candidates")
        status, _, _ = request("PATCH", resource, fragment(offer, sender.candidates), {
            "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": headers["ETag"]})
        assert status == 204, status
    sender.answer(answer)
    wait(sender.connected, "connection")
    sender.play(file, seconds)
    time.sleep(0.2)  # the last packets are on their way through webrtcbin
    packets = sender.sent()
    status, _, _ = request("DELETE", resource)
    sender.pipeline.set_state(Gst.State.NULL)
    print(json.dumps({"status": status, "packets": packets}), flush=True)
    os._exit(0)  # the ICE agent has one reference and two owners


def check():
    Gst.init(None)
    missing = [name for name in ELEMENTS if not Gst.ElementFactory.find(name)]
    if missing:
        sys.exit("GStreamer has no " + ", ".join(missing))
    print(Gst.version_string())


if sys.argv[1] == "check":
    check()
else:
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), *sys.argv[4:])
