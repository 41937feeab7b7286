# Publishes a WAV file from aiortc: python3 aiortc_publish.py WHIP-URL FILE SECONDS
import asyncio
import json
import sys
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer


def request(method, url, body=None, headers=None):
    r = urllib.request.Request(url, data=body.encode() if body else None, method=method, headers=headers or {})
    with urllib.request.urlopen(r, timeout=15) as resp:
        return resp.status, resp.headers, resp.read().decode()


async def main(url, file, seconds):
    pc = RTCPeerConnection()
    connected = asyncio.Event()

    @pc.on("connectionstatechange")
    async def changed():
        if pc.connectionState == "connected":
            connected.set()

    pc.addTransceiver(MediaPlayer(file).audio, direction="sendonly")
    await pc.setLocalDescription(await pc.createOffer())
    loop = asyncio.get_running_loop()
    status, headers, answer = await loop.run_in_executor(
        None, request, "POST", url, pc.localDescription.sdp, {"Content-Type": "application/sdp"})
    assert status == 201, status
    await pc.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    await asyncio.wait_for(connected.wait(), 15)
    await asyncio.sleep(seconds)
    status, _, _ = await loop.run_in_executor(None, request, "DELETE", urllib.parse.urljoin(url, headers["Location"]))
    await pc.close()
    print(json.dumps({"status": status}))


asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
