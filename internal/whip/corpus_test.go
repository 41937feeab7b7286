package whip_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wanted is the answer that the RFCs want for an offer.
type wanted struct {
	status   int
	sections string // kinds in the order of the offer; a minus marks a rejected one
	setup    string
	codec    string // the first of the answer
	mid      string // of the audio; "" if the offer has none
	bundle   bool   // the audio is in a BUNDLE group of the answer
}

func taken(sections, codec, mid string, bundle bool) wanted {
	return wanted{201, sections, "passive", codec, mid, bundle}
}

// family is an offer as one kind of sender writes it. The text has one line for each of SDP, and the macros of expand.
type family struct {
	name string
	want wanted
	text string
}

// macros keep the families short. All addresses are loopback.
var macros = strings.NewReplacer(
	"{ice}", "a=ice-ufrag:F7gI\na=ice-pwd:x9cml/YzichV2+XlhiMu8gqq",
	"{256}", "a=fingerprint:sha-256 "+hex(32),
	"{1}", "a=fingerprint:sha-1 "+hex(20),
	"{512}", "a=fingerprint:sha-512 "+hex(64),
	"{host}", "a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host generation 0 network-id 1",
	"{host6}", "a=candidate:2 1 UDP 2122262783 ::1 9 typ host",
	"{rtcp}", "a=candidate:1 2 UDP 2122260222 127.0.0.1 10 typ host",
	"{tcp}", "a=candidate:3 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active generation 0",
	"{local}", "a=candidate:4 1 udp 2113937151 6f0e2a5c-2a2c-4b71-9d29-5ad3bd1ea0d2.local 9 typ host",
	"{srflx}", "a=candidate:5 1 udp 1686052607 127.0.0.2 9 typ srflx raddr 0.0.0.0 rport 9",
	"{relay}", "a=candidate:6 1 udp 41885439 127.0.0.3 9 typ relay raddr 127.0.0.2 rport 9",
	"{mux}", "a=rtcp-mux\na=rtcp-rsize",
	"{opus}", "a=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\na=fmtp:111 minptime=10;useinbandfec=1",
	"{event}", "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16",
	"{ssrc}", "a=ssrc:3735928559 cname:4TOk42mSjXCkVIa6\na=ssrc:3735928559 msid:stream track",
	"{ext}", "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
	"{zero}", "c=IN IP4 0.0.0.0",
	"{any}", "a=rtcp:9 IN IP4 0.0.0.0",
)

func hex(n int) string { return strings.TrimSuffix(strings.Repeat("A7:", n), ":") }

const session = "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n"

const video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\n{zero}\n{ice}\n{256}\na=setup:actpass\na=mid:1\na=sendonly\na=rtcp-mux\n" +
	"a=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack pli\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"

const data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n{zero}\n{ice}\n{256}\na=setup:actpass\na=mid:d\na=sctp-port:5000\n"

var families = []family{
	{"Chrome", taken("audio", "opus", "0", true), session + `a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS stream
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
{zero}
{any}
{ice}
a=ice-options:trickle
{256}
a=setup:actpass
a=mid:0
{ext}
a=sendonly
a=msid:stream track
{mux}
{opus}
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
{ssrc}
`},
	{"Chrome 72", taken("audio", "opus", "audio", true), session + `a=group:BUNDLE audio
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111 103 104 0
{zero}
{any}
{ice}
a=ice-options:trickle
{256}
a=setup:actpass
a=mid:audio
a=sendrecv
a=rtcp-mux
{opus}
a=rtpmap:103 ISAC/16000
a=rtpmap:104 ISAC/32000
a=rtpmap:0 PCMU/8000
a=maxptime:60
{ssrc}
{local}
{tcp}
`},
	{"Chrome with bundle-only video", taken("audio video-", "opus", "0", true), session + `a=group:BUNDLE 0 1
m=audio 50000 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
{host}
{srflx}
{relay}
{ice}
{256}
a=setup:actpass
a=mid:0
a=sendonly
{mux}
{opus}
` + strings.Replace(video, "m=video 9", "m=video 0", 1) + "a=bundle-only\n"},
	{"Firefox", taken("audio", "opus", "0", true), `v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5514230462893846402 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
{256}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
{zero}
a=sendonly
{ext}
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
{ice}
a=mid:0
a=msid:- {5c1a3f0e-0000-4000-8000-000000000000}
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=setup:actpass
a=ssrc:1853719218 cname:{4b0c}
`},
	{"Firefox ESR with candidates", taken("audio video-", "opus", "sdparta_0", true), `v=0
o=mozilla...THIS_IS_SDPARTA-52.0 1 0 IN IP4 0.0.0.0
s=-
t=0 0
{256}
a=ice-options:trickle
a=group:BUNDLE sdparta_0 1
m=audio 9 UDP/TLS/RTP/SAVPF 109 0
c=IN IP4 127.0.0.1
{host}
{host6}
{tcp}
a=sendonly
a=end-of-candidates
{ice}
a=mid:sdparta_0
a=rtcp:10 IN IP4 127.0.0.1
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:0 PCMU/8000
a=setup:actpass
` + video},
	{"Safari", taken("audio", "opus", "0", true), session + `a=group:BUNDLE 0
a=msid-semantic: WMS 0c5d
m=audio 51000 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 127.0.0.1
{any}
{local}
{srflx}
{ice}
a=ice-options:trickle
{256}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
{opus}
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
`},
	{"Safari 12", taken("audio application-", "opus", "audio", true), session + `a=group:BUNDLE audio d
m=audio 9 UDP/TLS/RTP/SAVPF 111 8
{zero}
{ice}
{256}
a=setup:actpass
a=mid:audio
a=sendrecv
a=rtcp-mux
{opus}
a=rtpmap:8 PCMA/8000
a=rtpmap:105 CN/16000
` + strings.Replace(data, "UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000", 1)},
	{"Edge", taken("audio", "opus", "0", true), session + `a=group:BUNDLE 0
a=extmap-allow-mixed
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP6 ::
a=rtcp:9 IN IP6 ::
{ice}
{256}
a=setup:actpass
a=mid:0
a=sendonly
{mux}
{opus}
a=rtpmap:0 PCMU/8000
a=ptime:20
{host6}
`},
	{"OBS", taken("audio video-", "opus", "0", true), `v=0
o=rtc 3259346588 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
{ice}
a=ice-options:ice2,trickle
{256}
m=audio 52000 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
a=mid:0
a=sendonly
{ssrc}
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
{host}
a=end-of-candidates
` + video},
	{"GStreamer whipclientsink", taken("audio", "OPUS", "audio0", true), `v=0
o=- 7311223548021734399 0 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-options:trickle
a=group:BUNDLE audio0
m=audio 9 UDP/TLS/RTP/SAVPF 96
{zero}
a=setup:actpass
{ice}
a=rtcp-mux
a=rtcp-rsize
a=sendonly
a=rtpmap:96 OPUS/48000/2
a=rtcp-fb:96 nack
a=rtcp-fb:96 transport-cc
a=fmtp:96 sprop-stereo=0;sprop-maxcapturerate=48000
a=ssrc:2718281828 msid:user3 webrtctransceiver0
a=mid:audio0
{256}
`},
	{"GStreamer webrtcbin", taken("video- audio", "PCMU", "audio1", false), `v=0
o=- 1 0 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-options:trickle
m=video 9 UDP/TLS/RTP/SAVPF 96
{zero}
a=mid:video0
a=rtpmap:96 H264/90000
a=sendonly
m=audio 9 UDP/TLS/RTP/SAVPF 0
{zero}
a=setup:actpass
a=ice-ufrag:gst1
a=ice-pwd:y9cml/YzichV2+XlhiMu8gqq
{mux}
a=sendonly
a=rtpmap:0 PCMU/8000
a=mid:audio1
{256}
`},
	{"FFmpeg", wanted{201, "audio video-", "active", "opus", "0", true}, `v=0
o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
s=FFmpegPublishSession
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
{ice}
{256}
a=setup:passive
a=mid:0
a=sendonly
a=msid:FFmpeg audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
{ssrc}
` + strings.Replace(video, "actpass", "passive", 1)},
	{"rtpengine", taken("audio", "PCMU", "", false), `v=0
o=- 1545997027 1 IN IP4 127.0.0.1
s=tester
c=IN IP4 127.0.0.1
t=0 0
m=audio 30000 UDP/TLS/RTP/SAVPF 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
{event}
a=sendrecv
a=rtcp:30001
a=rtcp-mux
a=setup:actpass
{256}
a=tls-id:0f1e2d3c4b5a69788796a5b4c3d2e1f0
a=ptime:20
{ice}
a=ice-options:trickle
{host}
{rtcp}
a=end-of-candidates
`},
	{"rtpengine as an ICE-lite host", taken("audio", "opus", "1", true), `v=0
o=- 1545997028 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
a=ice-lite
a=group:BUNDLE 1
m=audio 30002 RTP/SAVPF 96 8
b=AS:100
a=mid:1
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1;usedtx=1
a=rtpmap:8 PCMA/8000
a=sendonly
a=rtcp-mux
a=setup:active
{1}
{ice}
{host}
`},
	{"Janus", taken("audio", "opus", "a", true), `v=0
o=- 1709040000000000 1 IN IP4 127.0.0.1
s=VideoRoom 1234
t=0 0
a=group:BUNDLE a
a=ice-options:trickle
{256}
a=extmap-allow-mixed
a=msid-semantic: WMS *
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
a=sendonly
a=mid:a
a=rtcp-mux
{ice}
a=setup:actpass
a=rtpmap:111 opus/48000/2
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=msid:janus janusa
{ssrc}
{host}
a=end-of-candidates
`},
	{"Janus SIP", taken("audio", "PCMA", "audio", true), session + `a=group:BUNDLE audio
a=msid-semantic: WMS janus
m=audio 9 UDP/TLS/RTP/SAVPF 8 0 101
c=IN IP4 127.0.0.1
a=sendrecv
a=mid:audio
a=rtcp-mux
{ice}
{256}
a=setup:actpass
a=rtpmap:8 PCMA/8000/1
a=rtpmap:0 PCMU/8000/1
{event}
{host}
`},
	{"FreeSWITCH", taken("audio", "opus", "", false), `v=0
o=FreeSWITCH 1700000000 1700000001 IN IP4 127.0.0.1
s=FreeSWITCH
c=IN IP4 127.0.0.1
t=0 0
a=msid-semantic: WMS xyz
m=audio 16384 UDP/TLS/RTP/SAVPF 102 9 0 8 103 101
a=rtpmap:102 opus/48000/2
a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:103 telephone-event/48000
a=fmtp:103 0-15
{event}
{256}
a=setup:actpass
a=rtcp-mux
a=rtcp:16384 IN IP4 127.0.0.1
{ssrc}
{ice}
{host}
a=end-of-candidates
a=silenceSupp:off - - - -
a=ptime:20
a=sendrecv
`},
	{"Asterisk", taken("audio", "opus", "audio-0", true), `v=0
o=- 1890219423 2 IN IP4 127.0.0.1
s=Asterisk
c=IN IP4 127.0.0.1
t=0 0
a=msid-semantic:WMS *
a=group:BUNDLE audio-0
m=audio 10000 UDP/TLS/RTP/SAVPF 107 0 8 101
a=connection:new
a=setup:actpass
a=fingerprint:SHA-256 ` + hex(32) + `
{ice}
{host}
{rtcp}
a=rtpmap:107 opus/48000/2
a=fmtp:107 useinbandfec=1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
{event}
a=ptime:20
a=maxptime:60
a=sendrecv
a=rtcp-mux
{ssrc}
a=msid:a b
a=rtcp-fb:* transport-cc
a=mid:audio-0
`},
	{"Kamailio before a G.711 trunk", taken("audio", "PCMU", "", false), `v=0
o=root 20 21 IN IP4 127.0.0.1
s=SIP Call
i=a trunk
c=IN IP4 127.0.0.1
b=AS:84
t=0 0
m=audio 40000 UDP/TLS/RTP/SAVP 0 8 13 101
b=TIAS:64000
b=RR:0
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp-mux
a=setup:actpass
{1}
{ice}
{host}
`},
	{"drachtio", taken("audio", "G722", "0", true), `v=0
o=- 77 78 IN IP4 127.0.0.1
s=rtpengine-10-5
t=0 0
a=group:BUNDLE 0
m=audio 40002 UDP/TLS/RTP/SAVPF 9 0 110
c=IN IP4 127.0.0.1
a=mid:0
a=rtpmap:9 G722/8000
a=rtpmap:110 telephone-event/48000
a=rtcp-mux
a=setup:active
{256}
{ice}
{host}
`},
	{"libwebrtc native", taken("application- audio", "opus", "1", true), session + `a=group:BUNDLE d 1
` + data + `m=audio 9 UDP/TLS/RTP/SAVPF 111 103 9
{zero}
{any}
{ice}
a=ice-options:trickle renomination
{256}
a=setup:actpass
a=mid:1
{ext}
a=sendonly
{mux}
{opus}
a=rtpmap:103 L16/48000
a=rtpmap:9 G722/8000
{ssrc}
`},
	{"libdatachannel", taken("audio", "opus", "audio", true), `v=0
o=rtc 3259346588 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE audio
a=msid-semantic:WMS *
{ice}
a=ice-options:ice2,trickle
{256}
a=setup:actpass
a=sendonly
m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
a=mid:audio
{ssrc}
a=rtcp-mux
{opus}
`},
	{"Pion", taken("audio", "opus", "0", true), `v=0
o=- 1834567890 1700000000 IN IP4 0.0.0.0
s=-
t=0 0
a=msid-semantic:WMS*
{256}
a=extmap-allow-mixed
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8
{zero}
a=setup:actpass
a=mid:0
{ice}
{mux}
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
{ssrc}
a=msid:stream track
a=sendonly
a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host ufrag F7gI
a=end-of-candidates
`},
	{"aiortc", taken("audio", "opus", "0", true), `v=0
o=- 3900000000 3900000000 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
m=audio 45000 UDP/TLS/RTP/SAVPF 96 9 0 8
c=IN IP4 127.0.0.1
a=sendonly
{ext}
a=mid:0
a=msid:3f0e 5c1a
{any}
a=rtcp-mux
{ssrc}
a=rtpmap:96 opus/48000/2
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
{host}
a=end-of-candidates
{ice}
{512}
{256}
a=setup:actpass
`},
	{"webrtc-rs", taken("audio", "opus", "0", true), `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
{256}
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 9
{zero}
a=setup:actpass
a=mid:0
{ice}
{mux}
a=rtpmap:111 opus/48000/2
a=rtpmap:9 G722/8000
a=sendrecv
`},
	{"str0m", taken("audio", "opus", "wOp", true), `v=0
o=str0m-0.6.2 16406875372 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE wOp
a=msid-semantic:WMS *
a=ice-options:trickle
{256}
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
{any}
{ice}
a=mid:wOp
a=extmap-allow-mixed
a=msid:8ff5 bb2f
a=sendonly
{mux}
{opus}
{host}
`},
	{"mediasoup", taken("audio", "opus", "0", true), `v=0
o=mediasoup-client 10000 1 IN IP4 0.0.0.0
s=-
t=0 0
a=ice-lite
{256}
{512}
a=msid-semantic: WMS *
a=group:BUNDLE 0
m=audio 7 UDP/TLS/RTP/SAVPF 100
c=IN IP4 127.0.0.1
a=rtpmap:100 opus/48000/2
a=fmtp:100 usedtx=1;useinbandfec=1
a=setup:actpass
a=mid:0
a=sendonly
{ice}
a=candidate:udpcandidate 1 udp 1076558079 127.0.0.1 9 typ host
a=candidate:tcpcandidate 1 tcp 1076302079 127.0.0.1 9 typ host tcptype passive
a=end-of-candidates
a=ice-options:renomination
{mux}
{ssrc}
`},
	{"LiveKit", taken("application- audio", "red", "1", true), session + `a=ice-lite
a=group:BUNDLE d 1
` + data + `m=audio 9 UDP/TLS/RTP/SAVPF 63 111
{zero}
a=setup:actpass
a=mid:1
{ice}
{256}
{mux}
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
{opus}
a=sendonly
`},
	{"Ant Media", taken("video- audio", "opus", "0", true), session + "a=group:BUNDLE 1 0\n" + video + `m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
{ice}
{256}
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
{opus}
`},
	{"Wowza", taken("audio", "PCMU", "audio", true), `v=0
o=WowzaStreamingEngine-next 442314204 2 IN IP4 127.0.0.1
s=-
t=0 0
{256}
a=group:BUNDLE audio
a=ice-options:trickle
m=audio 9 RTP/SAVPF 0
{zero}
a=rtpmap:0 PCMU/8000
a=cliprect:0,0,480,640
a=framesize:0 0-0
{ice}
a=mid:audio
a=msid:{a} {b}
a=rtcp-mux
a=sendonly
a=setup:actpass
`},
	{"Larix", taken("video- audio", "opus", "a", true), session + `a=group:BUNDLE v a
a=group:LS v a
{ice}
{256}
a=setup:actpass
m=video 9 UDP/TLS/RTP/SAVPF 96
{zero}
a=mid:v
a=sendonly
a=rtcp-mux
a=rtpmap:96 H264/90000
a=simulcast:send h;l
a=rid:h send
a=rid:l send
m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
a=mid:a
a=sendonly
a=rtcp-mux
{opus}
`},
	{"tinywhip", taken("audio", "opus", "0", true), `v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
{zero}
a=mid:0
{ice}
{256}
a=setup:active
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
`},
}

// variation changes an offer and the answer to expect. It returns ok false where it makes no sense.
type variation struct {
	name   string
	change func(text string, want wanted) (string, wanted, bool)
}

var (
	ways        = regexp.MustCompile(`(?m)^a=(sendonly|sendrecv)\n`)
	setups      = regexp.MustCompile(`(?m)^a=setup:.*\n`)
	audioLine   = regexp.MustCompile(`m=audio \d+ `)
	groupLine   = regexp.MustCompile(`(?m)^a=group:BUNDLE.*\n`)
	opusMap     = regexp.MustCompile(`(?i)opus/48000/2`)
	transports  = regexp.MustCompile(`(?m)^a=(ice-ufrag|ice-pwd|fingerprint|setup):.*\n`)
	muxes       = regexp.MustCompile(`(?m)^a=rtcp-mux\n`)
	attributes  = regexp.MustCompile(`(?:(?m:^a=.*\n))+`)
	fingerprint = regexp.MustCompile(`(?m)^a=fingerprint:.*\n`)
)

// plainly makes a variation that only replaces text.
func plainly(name string, replace func(string) string) variation {
	return variation{name, func(text string, want wanted) (string, wanted, bool) {
		next := replace(text)
		return next, want, next != text
	}}
}

// refusedWith makes a variation that is refused.
func refusedWith(status int, name string, replace func(string) string) variation {
	return variation{name, func(text string, want wanted) (string, wanted, bool) {
		next := replace(text)
		return next, wanted{status: status}, next != text
	}}
}

// ofAudio applies a change to the audio section.
func ofAudio(text string, change func(string) string) string {
	start := strings.Index(text, "m=audio")
	end := len(text)
	if next := strings.Index(text[start+1:], "\nm="); next >= 0 {
		end = start + 1 + next + 1
	}
	return text[:start] + change(text[start:end]) + text[end:]
}

// ofSession applies a change to the lines before the first section.
func ofSession(text string, change func(string) string) string {
	at := strings.Index(text, "m=")
	return change(text[:at]) + text[at:]
}

func reversed(text string) string {
	return attributes.ReplaceAllStringFunc(text, func(block string) string {
		lines := strings.SplitAfter(strings.TrimSuffix(block, "\n"), "\n")
		lines[len(lines)-1] += "\n"
		slices.Reverse(lines)
		return strings.Join(lines, "")
	})
}

var variations = []variation{
	{"as it is", func(text string, want wanted) (string, wanted, bool) { return text, want, true }},
	plainly("lines end with LF", func(s string) string { return s + "\x00LF" }),
	plainly("white space at the ends of lines", func(s string) string { return strings.ReplaceAll(s, "\n", " \n") }),
	plainly("attributes in reverse order", reversed),
	plainly("a mono opus", func(s string) string { return opusMap.ReplaceAllString(s, "OPUS/48000/1") }),
	plainly("opus without channels", func(s string) string { return opusMap.ReplaceAllString(s, "opus/48000") }),
	plainly("a further LS group", func(s string) string {
		return ofSession(s, func(s string) string { return s + "a=group:LS x y\n" })
	}),
	plainly("no direction", func(s string) string { return ways.ReplaceAllString(s, "") }),
	plainly("the direction of the session", func(s string) string {
		return ofSession(ways.ReplaceAllString(s, ""), func(s string) string { return s + "a=sendonly\n" })
	}),
	plainly("the transport of the session", func(s string) string {
		lines := map[string]bool{}
		var first []string
		for _, line := range transports.FindAllString(s, -1) {
			if key, _, _ := strings.Cut(line, ":"); !lines[key] {
				lines[key] = true
				first = append(first, line)
			}
		}
		s = transports.ReplaceAllString(s, "")
		return ofSession(s, func(s string) string { return s + strings.Join(first, "") })
	}),
	plainly("an MD5 and a SHA-1 fingerprint before the real one", func(s string) string {
		return fingerprint.ReplaceAllStringFunc(s, func(f string) string {
			return "a=fingerprint:md5 " + hex(16) + "\na=fingerprint:sha-1 " + hex(20) + "\n" + f
		})
	}),
	{"setup:passive", func(text string, want wanted) (string, wanted, bool) {
		want.setup = "active"
		return setups.ReplaceAllString(text, "a=setup:passive\n"), want, true
	}},
	{"setup:active", func(text string, want wanted) (string, wanted, bool) {
		want.setup = "passive"
		return setups.ReplaceAllString(text, "a=setup:active\n"), want, true
	}},
	{"no setup", func(text string, want wanted) (string, wanted, bool) {
		want.setup = "passive"
		return setups.ReplaceAllString(text, ""), want, true
	}},
	{"no BUNDLE group", func(text string, want wanted) (string, wanted, bool) {
		// Sections that share a transport, or have port 0 for it, need the group.
		if strings.Contains(text, "bundle-only") {
			return text, want, false
		}
		want.bundle = false
		next := groupLine.ReplaceAllString(text, "")
		return next, want, next != text
	}},
	{"no mid beside a BUNDLE group", func(text string, want wanted) (string, wanted, bool) {
		if want.mid == "" {
			return text, want, false
		}
		next := ofAudio(text, func(s string) string { return strings.Replace(s, "a=mid:"+want.mid+"\n", "", 1) })
		want.mid, want.bundle = "", false
		return next, want, true
	}},
	{"a rejected video without a direction after it", func(text string, want wanted) (string, wanted, bool) {
		want.sections += " video-"
		return text + "m=video 0 UDP/TLS/RTP/SAVPF 96\nc=IN IP4 0.0.0.0\n", want, true
	}},
	{"inactive sections of other kinds before it", func(text string, want wanted) (string, wanted, bool) {
		want.sections = "audio- text- " + want.sections
		other := "m=audio 9 UDP/TLS/RTP/SAVPF 0\nc=IN IP4 0.0.0.0\na=inactive\na=mid:other\n" +
			"m=text 9 RTP/AVP 98\nc=IN IP4 0.0.0.0\na=rtpmap:98 t140/1000\n"
		return ofSession(text, func(s string) string { return s + other }), want, true
	}},
	{"bundle-only with port 0", func(text string, want wanted) (string, wanted, bool) {
		next := ofAudio(text, func(s string) string { return audioLine.ReplaceAllString(s, "m=audio 0 ") + "a=bundle-only\n" })
		return next, want, want.bundle
	}},
	{"without rtcp-mux", func(text string, want wanted) (string, wanted, bool) {
		return ofAudio(text, func(s string) string { return muxes.ReplaceAllString(s, "") }), want, true
	}},
	refusedWith(406, "port 0", func(s string) string {
		return ofAudio(s, func(s string) string { return audioLine.ReplaceAllString(s, "m=audio 0 ") })
	}),
	refusedWith(422, "recvonly", func(s string) string { return ways.ReplaceAllString(s, "a=recvonly\n") }),
	refusedWith(422, "the session is inactive", func(s string) string {
		s = ways.ReplaceAllString(s, "")
		return ofSession(s, func(s string) string { return s + "a=inactive\n" })
	}),
	refusedWith(422, "setup:holdconn", func(s string) string { return setups.ReplaceAllString(s, "a=setup:holdconn\n") }),
	refusedWith(400, "an ice-ufrag of 257 characters", func(s string) string {
		return regexp.MustCompile(`a=ice-ufrag:.*`).ReplaceAllString(s, "a=ice-ufrag:"+strings.Repeat("x", 257))
	}),
	refusedWith(406, "only codecs that are unknown", func(s string) string {
		s = regexp.MustCompile(`(?m)^a=(rtpmap|fmtp|rtcp-fb):.*\n`).ReplaceAllString(s, "")
		return regexp.MustCompile(`(m=audio \d+ \S+).*`).ReplaceAllString(s, "$1 120 13")
	}),
	refusedWith(422, "two legs", func(s string) string {
		return s + "m=audio 9 UDP/TLS/RTP/SAVPF 0\nc=IN IP4 0.0.0.0\na=mid:second\na=sendonly\n"
	}),
}

// The offers of many senders, in many variations, get the answers that the RFCs want (3264, 8829, 8839, 8866, 9143, 9725). The
// texts follow the documented forms of these programs; none is a recording of one.
func TestOffersGetTheAnswersThatTheRFCsWant(t *testing.T) {
	h := newHouse(t, unlimited)
	offers := 0
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			for _, v := range variations {
				text, want, ok := v.change(macros.Replace(f.text), f.want)
				if !ok {
					continue
				}
				offers++
				if text, ok = strings.CutSuffix(text, "\x00LF"); !ok {
					text = strings.ReplaceAll(text, "\n", "\r\n")
				}
				if err := h.judge(text, want); err != nil {
					t.Errorf("%s: %v", v.name, err)
				}
			}
		})
	}
	if offers < 200 {
		t.Errorf("only %d offers", offers)
	}
	t.Log(fmt.Sprint(offers, " offers"))
}
