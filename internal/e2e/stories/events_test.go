package stories_test

import (
	"errors"
	"fmt"
	"time"

	"callscreen/internal/intake"
)

// leave lets a party leave, and come back after a while.
func (st *story) leave(p *party, how intake.Departure, away time.Duration) {
	if p.session == nil || !p.lost.IsZero() {
		return
	}
	p.back = time.Now().Add(away)
	if how == intake.Lost {
		p.how = how
		p.lost = time.Now().Add(time.Duration(2000+st.rng.IntN(8000)) * time.Millisecond)
		p.back = p.lost.Add(away)
		st.note("%s: connection breaks", p.leg)
		return
	}
	st.note("%s: leaves (%v), back in %v", p.leg, how, away)
	p.session.leave(how)
	p.session = nil
}

// sends reports whether a party is in the call and sends.
func (p *party) sends() bool {
	return p.session != nil && !p.session.ended() && p.lost.IsZero() && !p.announced
}

// happen plays one random event.
func (st *story) happen(p *party) {
	rng := st.rng
	away := time.Duration(rng.IntN(6000)) * time.Millisecond
	if st.plain {
		switch rng.IntN(5) {
		case 4: // back before the call has ended
			st.leave(p, intake.HungUp, time.Duration(rng.IntN(1500))*time.Millisecond)
		case 0:
			st.pause(p, time.Duration(rng.IntN(1500))*time.Millisecond)
		case 1:
			st.change(p)
		case 2:
			if p.sends() {
				p.session.report(p.stream)
			}
		case 3: // the same sender again, at once
			if p.sends() {
				st.join(p)
				st.note("%s: takes over", p.leg)
			}
		}
		return
	}
	switch rng.IntN(22) {
	case 0:
		st.leave(p, intake.HungUp, away)
	case 1:
		st.leave(p, intake.Closed, away)
	case 2:
		st.leave(p, intake.Lost, away-3*time.Second)
	case 3, 4: // the same sender from another session, while the old one sends on
		if p.sends() {
			p.old = append(p.old, &second{p.stream, p.session, p.track, time.Now().Add(away)})
			st.note("%s: second session", p.leg)
			st.join(p)
		}
	case 5: // another sender
		if n := st.nodes[0]; n != nil {
			_, err := st.enter(n, p.leg, intake.Sender{Name: "stranger"}, nil)
			var refused *intake.Refusal
			st.note("%s: another sender: %v", p.leg, err)
			if err != nil && !errors.As(err, &refused) {
				st.fatal("%v", err)
			}
			if err == nil { // the leg was free
				s := st.sessions[len(st.sessions)-1]
				s.leave(intake.HungUp)
			}
		}
	case 6, 7:
		st.change(p)
	case 8:
		if p.sends() {
			off := rng.Uint32()
			f := []func(uint32) uint32{
				func(ts uint32) uint32 { return ts + off },
				func(uint32) uint32 { return off },
				func(ts uint32) uint32 { return ts / 2 },
				func(ts uint32) uint32 { return ts * 2 },
				func(ts uint32) uint32 { return ts + uint32(rng.IntN(50)) },
				func(uint32) uint32 { return rng.Uint32() },
			}
			i := rng.IntN(len(f))
			p.stream.faulty = f[i]
			st.note("%s: clock fault %d", p.leg, i)
		}
	case 9, 10:
		st.pause(p, time.Duration(rng.IntN(9000))*time.Millisecond)
	case 11: // a second track of the session, or one that takes turns with the first
		if p.sends() {
			c := codecs[rng.IntN(len(codecs))]
			o := &second{st.stream(c), p.session, p.session.record(c), time.Now().Add(away)}
			if rng.IntN(2) == 0 {
				p.old = append(p.old, &second{p.stream, p.session, p.track, o.until})
				p.stream, p.track, p.codec = o.stream, o.track, c
				o.until = time.Time{}
			}
			p.old = append(p.old, o)
			st.note("%s: second track %s", p.leg, c.name)
		}
	case 12:
		st.shelf.away.Store(!st.shelf.away.Load())
		st.note("audio store away: %v", st.shelf.away.Load())
	case 13:
		i := rng.IntN(2)
		if st.nodes[i] == nil {
			return
		}
		if rng.IntN(3) == 0 {
			st.note("%s shuts down", st.nodes[i].name)
			st.shutDown(i)
		} else {
			st.note("%s is killed", st.nodes[i].name)
			st.kill(i)
			if rng.IntN(3) == 0 {
				st.loseEntry(fmt.Sprintf("n%d", i+1))
			}
		}
		if rng.IntN(4) > 0 {
			st.nodes[i] = st.start(fmt.Sprintf("n%d", i+1))
		}
	case 14: // all hang up, or are cut off, and the id is used again
		how := []intake.Departure{intake.HungUp, intake.HungUp, intake.Lost}[rng.IntN(3)]
		gap := []time.Duration{away, 3 * time.Second, 2 * time.Minute, 20 * time.Minute, 24 * time.Hour}[rng.IntN(5)]
		for _, p := range st.parties {
			st.leave(p, how, gap)
		}
		st.pass(11 * time.Second)
		if gap > time.Minute {
			for _, s := range st.sessions {
				s.leave(how)
			}
			st.shelf.away.Store(false) // or it would be tried again twice a second
			time.Sleep(gap)
			for _, p := range st.parties {
				p.tone[0], p.tone[1] = p.tone[0].Add(gap), p.tone[1].Add(gap)
			}
		}
		st.until = time.Now().Add(time.Duration(6+rng.IntN(10)) * time.Second)
	case 15:
		p.mute = !p.mute
		st.note("%s: mute %v", p.leg, p.mute)
	case 16:
		if p.sends() {
			p.session.report(p.stream)
		}
	case 17:
		st.analyse(0.5)
	case 18: // garbage
		if p.sends() {
			for range 1 + rng.IntN(30) {
				b := make([]byte, 12+rng.IntN(200))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				b[0] = 0x80
				p.track.packets <- b
			}
			st.note("%s: garbage", p.leg)
		}
	case 20: // a codec that was not negotiated, for a while
		if p.sends() {
			was := *p.stream.enc
			p.stream.enc.pt = 97
			st.note("%s: foreign payload type for %v", p.leg, away)
			stream := p.stream
			for end := time.Now().Add(away); time.Now().Before(end) && p.stream == stream; time.Sleep(step) {
				for _, p := range st.parties {
					st.act(p)
				}
			}
			*stream.enc = was
		}
	case 21: // packets of another length
		p.packet = time.Duration([]int{10, 20, 30, 60, 100}[rng.IntN(5)]) * time.Millisecond
		st.note("%s: packets of %v", p.leg, p.packet)
	case 19: // a blackout of the network
		if p.sends() {
			was := st.loss
			st.loss = 1
			for end := time.Now().Add(away / 4); time.Now().Before(end); time.Sleep(step) {
				st.act(p)
			}
			st.loss = was
			st.note("%s: blackout of %v", p.leg, away/4)
		}
	}
}

// change lets a party go on with another codec, SSRC or sequence.
func (st *story) change(p *party) {
	if !p.sends() {
		return
	}
	rng := st.rng
	switch rng.IntN(3) {
	case 0:
		p.stream.ssrc, p.stream.seq, p.stream.ts, p.stream.count = rng.Uint32(), uint16(rng.Uint32()), rng.Uint32(), 0
		st.note("%s: another SSRC", p.leg)
	case 1:
		p.codec = codecs[rng.IntN(len(codecs))]
		p.stream.enc = newEncoder(p.codec)
		st.note("%s: %s under the same SSRC", p.leg, p.codec.name)
	case 2:
		p.codec = codecs[rng.IntN(len(codecs))]
		queue := p.stream.queue
		p.stream = st.stream(p.codec)
		p.stream.queue = queue
		st.note("%s: %s with another SSRC", p.leg, p.codec.name)
	}
}

// pause pauses the leg of a party for a while.
func (st *story) pause(p *party, d time.Duration) {
	if !p.sends() {
		return
	}
	key := legKey{p.session.key, p.leg}
	c := p.session.node.live.Call(st.call)
	if st.paused[key] || c == nil || c.Begun().PartKey != key.part {
		return
	}
	st.note("%s: paused for %v", p.leg, d)
	c.Recorder().Pause(p.leg, "agent")
	st.paused[key], st.since[key] = true, time.Now()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		for _, p := range st.parties {
			st.act(p)
		}
	}
	c.Recorder().Resume(p.leg, "agent")
	st.paused[key] = false
	st.pausedBy[key] += time.Since(st.since[key])
}
