package encode

// FormatNameBytes is the number of bytes by which FormatName recognises every format.
const FormatNameBytes = sniffBytes

// FormatName returns the name of the format of a file that starts with head, such as "WAV" or "Matroska or WebM", or "" if
// it is not known. An MP3 without a tag may be unknown.
func FormatName(head []byte) string {
	_, name := sniff(head)
	return name
}

// sniff recognises a format by its first bytes. kind is the reader to use, or "other", or empty if it is unknown.
func sniff(b []byte) (kind, name string) {
	at := func(i int, s string) bool { return len(b) >= i+len(s) && string(b[i:i+len(s)]) == s }
	switch {
	case (at(0, "RIFF") || at(0, "RF64") || at(0, "BW64") || at(0, "RIFX")) && at(8, "WAVE"):
		return "wav", "WAV"
	case at(0, "OggS"):
		return "ogg", "Ogg"
	case at(0, "ID3"):
		return "mp3", "MP3"
	case len(b) >= 2 && b[0] == 0xff && b[1]&0xf6 == 0xf0:
		return "other", nameADTS
	case len(b) >= 2 && b[0] == 0xff && b[1]&0xe6 == 0xe2:
		return "mp3", "MP3"
	case len(b) >= 2 && b[0] == 0xff && b[1]&0xe0 == 0xe0 && b[1]&6 != 0:
		return "other", nameLayer2
	case at(0, "\x0bw"):
		return "other", nameAC3
	case at(0, "\x7f\xfe\x80\x01"), at(0, "\xfe\x7f\x01\x80"):
		return "other", nameDTS
	case len(b) >= 189 && b[0] == 0x47 && b[188] == 0x47:
		return "other", nameTS
	}
	for _, m := range []struct {
		at          int
		magic, name string
	}{
		{4, "ftyp", "MPEG-4 (m4a, mp4)"}, {0, "\x1aE\xdf\xa3", "Matroska or WebM"}, {0, "fLaC", "FLAC"},
		{0, "#!AMR", "AMR"}, {0, "FORM", "AIFF"}, {0, ".snd", "AU"}, {0, "caff", "CAF"}, {8, "AVI ", "AVI"},
		{0, "\x30\x26\xb2\x75", "Windows Media"}, {0, "FLV", "Flash video"}, {0, "wvpk", nameWavPack}, {0, "MAC ", "Monkey's Audio"},
		{0, "riff\x2e\x91", "Wave64"}, {0, "Creative Voice", "VOC"}, {0, "\x00\x00\x01\xba", "MPEG program stream"},
		{0, "TTA1", "True Audio"}, {0, "nut/multimedia container\x00", "NUT"},
		{0, ".SoX", "SoX"}, {0, "XoS.", "SoX"},
		{0, ".RMF", "RealMedia"}, {4, "moov", "QuickTime"}, {4, "mdat", "QuickTime"}, {4, "wide", "QuickTime"},
	} {
		if at(m.at, m.magic) {
			return "other", m.name
		}
	}
	return "", ""
}
