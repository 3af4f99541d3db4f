package auth

import (
	"bufio"
	"net"
	"testing"
	"time"
)

func TestLoginOverTCP(t *testing.T) {
	t.Parallel()
	h := &house{}
	h.Server = frontDesk(h.log)
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(l, roles["auth"], Socket{}) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(time.Minute))
	w := &wire{t, nc, bufio.NewReader(nc), time.Now()}
	w.greeted(0)
	w.say("AUTH\t1\tPLAIN\tservice=smtp\tresp=" + plain("", "alice", "pw"))
	w.want("OK\t1\tuser=alice\ttag=x")
	l.Close()
	h.Drain(time.Minute)
	<-done
}

func TestOnlyLoginsAreServedOverTCP(t *testing.T) {
	t.Parallel()
	for name, r := range roles {
		if want := r.Commands != nil || r.Finish == byTicket; r.Local != want {
			t.Errorf("%s: for unix sockets only: %t, want %t", name, r.Local, want)
		}
	}
	if p, err := (Socket{Mode: 0o666, UID: nobody}).peerOf(&net.TCPConn{}); err != nil || !p.restricted || p.uid != nobody || p.pid != 0 {
		t.Errorf("a peer over TCP is %+v, %v, want one that may learn of nobody", p, err)
	}
}
