package server

import (
	"culver/internal/doveadmproto"
)

// pair relays between the worker of a copy's destination and that of its source.
// The client sees the destination's rows and both's log lines; the worse code
// counts.
func (r *run) pair(dest, source *hire) {
	source.rows = &rows{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := source.relay(dest)
		r.end(source, err)
		switch {
		case err != nil: // nobody knows what did not come
			dest.send(doveadmproto.ChCancel, nil)
		case !source.peerDone: // it failed, and said so: there is no more
			dest.send(doveadmproto.ChPeer, nil)
		}
	}()
	err := dest.relay(source)
	r.end(dest, err)
	if (err != nil || r.failed()) && !sourceEnded(done) {
		source.late.Store(true) // what it says of a cancel is not why the command failed
		source.send(doveadmproto.ChCancel, nil)
	}
	<-done
}

func sourceEnded(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.code != doveadmproto.OK
}
