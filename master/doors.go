package master

import (
	"time"

	"golang.org/x/sys/unix"
)

// doors are what a front of the network has besides the process that listens: a
// process for each connection, which took it and listens no more. So one that is
// taken over has no other client's login in it. Everything in it belongs to the
// master's loop.
type doors struct {
	room    int                  // processes with a client, at most
	inside  map[*process]*client // theirs
	waiting bool                 // for the moment when a stranger may be sent away
}

// client is what the master knows of one: when it came. Whether it has logged in
// its front tells (Status), and gains nothing by a lie but its own place.
type client struct {
	came time.Time
	sent bool // it was sent away
}

// strangerRest is what a client has to log in where others wait to.
const strangerRest = time.Second

func newDoors(room int) doors {
	return doors{room: room, inside: map[*process]*client{}}
}

func (d *doors) full() bool { return len(d.inside) >= d.room }

// entered notes that the process which listened has a client now, and has
// another one listen.
func (m *Master) entered(d *daemon, p *process) {
	if d.network && d.proc == p && p.available == 0 {
		d.proc = nil
		d.inside[p] = &client{came: time.Now()}
		m.start(d)
	}
}

// left ends the process of one connection, and tells whether it was one that
// ended as it should.
func (m *Master) left(d *daemon, p *process, status unix.WaitStatus) bool {
	c := d.inside[p]
	if c == nil {
		return false
	}
	delete(d.inside, p)
	if _, bad := deathReason(status); bad && !c.sent {
		m.start(d)
		return false // and said of it what is said of any
	}
	d.backoff.Served()
	m.start(d)
	m.checkStopped()
	return true
}

// makeRoom sends away the stranger that is there longest, where all places are
// taken: connections that only wait are to keep no administrator out. Those who
// have logged in stay.
func (m *Master) makeRoom(d *daemon) {
	var oldest *process
	for p, c := range d.inside {
		if c.sent {
			return // its place is on its way
		}
		if p.served == 0 && (oldest == nil || c.came.Before(d.inside[oldest].came)) {
			oldest = p
		}
	}
	if oldest == nil || d.waiting {
		return // when one leaves
	}
	c := d.inside[oldest]
	if wait := strangerRest - time.Since(c.came); wait > 0 {
		d.waiting = true
		time.AfterFunc(wait, func() {
			m.do(func() {
				d.waiting = false
				m.start(d)
			})
		})
		return
	}
	m.log.Info("client that has not logged in is sent away, others wait", "service", d.name, "pid", oldest.pid, "setting", "process_limit")
	c.sent, oldest.doomed = true, true // doomed where its pid is not known yet
	m.kill(oldest, unix.SIGKILL)
}
