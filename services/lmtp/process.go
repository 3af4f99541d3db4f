package lmtp

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"culver/internal/worker"
)

// ListenersOf takes over the listeners that the process was born with.
func ListenersOf(p *worker.Process) ([]Listener, error) {
	var out []Listener
	for i, fd := range p.Listeners() {
		b := p.Settings.Sub("listener/" + strconv.Itoa(i) + "/")
		if b["kind"] == "fifo" {
			continue
		}
		file := os.NewFile(uintptr(fd), b["name"])
		l, err := net.FileListener(file) // a copy; its Close leaves the master's own open
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", b["name"], err)
		}
		out = append(out, Listener{Listener: l, SSL: b["ssl"] == "yes", HAProxy: b["haproxy"] == "yes"})
	}
	return out, nil
}
