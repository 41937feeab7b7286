#!/usr/bin/env bash
# Makes the clips of this directory from their sources. Needs sox, ffmpeg, espeak-ng and the LibriVox excerpts of Debian's
# pocketsphinx-testdata. The clips are committed: run this only to change them.
set -euo pipefail
cd "$(dirname "$0")"
src=${LIBRIVOX:-/usr/share/pocketsphinx/test/data/librivox}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
book() { echo "$src/sense_and_sensibility_01_austen_64kb-$1.wav"; }

# A synthetic utterance, 16 kHz mono. The 3,000 Hz tone beneath it is the marker tone, to which the simulator
# gives a high score, because the simulator cannot distinguish synthetic from human speech.
say() { # name, text
  espeak-ng -v en-us -s 150 -w "$tmp/raw.wav" "$2"
  sox "$tmp/raw.wav" -r 16000 -c 1 -b 16 "$tmp/speech.wav" norm -6
  local len; len=$(soxi -D "$tmp/speech.wav")
  sox -n -r 16000 -c 1 -b 16 "$tmp/tone.wav" synth "$len" sine 3000 vol 0.018 fade t 0.05 "$len" 0.05
  sox -m -v 1 "$tmp/speech.wav" -v 1 "$tmp/tone.wav" -b 16 "$tmp/$1.wav"
}
say s1 "Good afternoon. I am calling because I have lost my card, and I need to move my savings to a new account today."
say s2 "My date of birth is the fourth of July, nineteen seventy two, and the last four digits of the card are three, nine, one, five."
say s3 "That is correct. Please send the confirmation to the new address, and do not call the old number any more."

sox "$(book 0870)" "$(book 0890)" "$(book 0920)" "$(book 0930)" -b 16 human.wav gain -n -6 pad 0.4 0.6
sox "$tmp/s1.wav" "$tmp/s2.wav" "$tmp/s3.wav" -b 16 synthetic.wav pad 0.4 0.6

# One call, two legs: the caller (left) is synthetic, the agent (right) is human; they take turns.
at() { # start seconds, file: prints a padded track
  sox "$2" -b 16 "$tmp/at-$1.wav" pad "$1" 0
  printf '%s ' "$tmp/at-$1.wav"
}
n() { sox "$1" -b 16 "$2" gain -n -6; }
for b in 0870 0880 0890 0920; do n "$(book $b)" "$tmp/b$b.wav"; done
caller=$(at 4.0 "$tmp/s1.wav"; at 19.5 "$tmp/s2.wav"; at 36.0 "$tmp/s3.wav")
agent=$(at 0.5 "$tmp/b0880.wav"; at 11.8 "$tmp/b0870.wav"; at 29.4 "$tmp/b0920.wav"; at 43.5 "$tmp/b0890.wav")
sox -m $(for f in $caller; do printf -- '-v 1 %s ' "$f"; done) -b 16 "$tmp/caller.wav"
sox -m $(for f in $agent; do printf -- '-v 1 %s ' "$f"; done) -b 16 "$tmp/agent.wav"
sox -M "$tmp/caller.wav" "$tmp/agent.wav" -b 16 two-legs.wav

# Sounds that must never be submitted.
sox -n -r 8000 -c 1 -b 16 silence.wav trim 0 12
sox -n -r 8000 -c 1 -b 16 ringback.wav synth 2 sine 440 sine 480 remix 1,2 vol 0.3 pad 0 4 repeat 1
: > "$tmp/dtmf.list"
i=0
for pair in 697:1209 697:1336 697:1477 770:1209 770:1336 770:1477 852:1209 852:1336 852:1477 941:1336; do
  sox -n -r 8000 -c 1 -b 16 "$tmp/d$i.wav" synth 0.25 sine "${pair%:*}" sine "${pair#*:}" remix 1,2 vol 0.4 pad 0 0.25
  i=$((i+1))
done
sox $(seq -f "$tmp/d%g.wav" 0 9) $(seq -f "$tmp/d%g.wav" 0 9) dtmf.wav

# The same three seconds of human speech in every container and codec.
clip="$tmp/clip.wav"; sox "$tmp/b0880.wav" -b 16 "$clip" dither -a
ff() { ffmpeg -hide_banner -loglevel error -y -i "$clip" -map_metadata -1 -fflags +bitexact -flags +bitexact "$@"; }
ff -ar 8000 -c:a pcm_u8 formats/pcm_u8.wav
ff -c:a pcm_s16le formats/pcm_s16.wav
ff -c:a pcm_s24le formats/pcm_s24.wav
ff -ar 8000 -c:a pcm_s32le formats/pcm_s32.wav
ff -ar 8000 -c:a pcm_f32le formats/pcm_f32.wav
ff -ar 8000 -c:a pcm_f64le formats/pcm_f64.wav
ff -ar 8000 -c:a pcm_alaw formats/alaw.wav
ff -ar 8000 -c:a pcm_mulaw formats/mulaw.wav
sox "$clip" -r 8000 -c 4 -e signed -b 24 -t wavpcm "$tmp/ext.wav" && sox "$tmp/ext.wav" -t wav formats/extensible_4ch_s24.wav
ff -c:a pcm_s16le -f wav - | cat > formats/piped_size_ffffffff.wav
ff -ar 44100 -c:a libmp3lame -b:a 64k formats/44100_64k.mp3
ff -ar 48000 -ac 2 -c:a libmp3lame -b:a 96k formats/48000_stereo_96k.mp3
ff -ar 22050 -c:a libmp3lame -b:a 32k formats/22050_32k_garbage_in_gomp3.mp3
ff -ar 8000 -c:a libmp3lame -b:a 16k formats/8000_mpeg25.mp3
ff -ar 48000 -c:a libopus -application voip -b:a 24k formats/mono_24k.opus
ff -ar 48000 -ac 2 -c:a libopus -frame_duration 60 -b:a 32k formats/stereo_60ms.opus
ff -ar 16000 -c:a aac -b:a 32k formats/16000_32k.m4a
ff -ar 16000 -c:a g722 formats/speech.g722
ffmpeg -hide_banner -loglevel error -y -f g722 -i formats/speech.g722 -f s16le -bitexact formats/speech.g722.s16le

# The calls of `callscreen demo`.
for n in human synthetic; do
  ffmpeg -hide_banner -loglevel error -y -i $n.wav -ar 48000 -c:a libopus -application voip -b:a 28k -map_metadata -1 -fflags +bitexact ../../internal/demo/$n.opus
done
