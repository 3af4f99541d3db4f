package system

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Hosts are network namespaces on one machine, joined by a bridge in one more of
// them: each has an address of its own, and none sees the machine's network.
type Hosts struct {
	name string
	n    int
}

// MakeHosts makes n of them; name is theirs alone on this machine, and short
// enough for an interface (at most 10 bytes).
func MakeHosts(name string, n int) (*Hosts, error) {
	h := &Hosts{name, n}
	h.Remove() // of a test that was killed
	cmds := []string{
		"netns add " + name,
		"-n " + name + " link add bridge type bridge",
		"-n " + name + " link set bridge up",
	}
	for i := 1; i <= n; i++ {
		host, port := h.host(i), h.port(i)
		cmds = append(cmds,
			"netns add "+host,
			"-n "+name+" link add "+port+" type veth peer name eth0 netns "+host,
			"-n "+name+" link set "+port+" master bridge up",
			"-n "+host+" addr add "+h.Address(i)+"/24 dev eth0",
			"-n "+host+" link set eth0 up",
			"-n "+host+" link set lo up",
		)
	}
	for _, c := range cmds {
		if err := ip(c); err != nil {
			return nil, errors.Join(err, h.Remove())
		}
	}
	return h, nil
}

func (h *Hosts) host(i int) string { return fmt.Sprintf("%s-%d", h.name, i) }
func (h *Hosts) port(i int) string { return fmt.Sprintf("%s-p%d", h.name, i) }

// Address is the address of host i, from 1.
func (h *Hosts) Address(i int) string { return fmt.Sprintf("10.99.0.%d", i) }

// Command is what runs another command on host i.
func (h *Hosts) Command(i int) []string {
	return []string{"nsenter", "--net=/run/netns/" + h.host(i)}
}

// Cut takes host i off the network, as a cable would that is pulled; Join puts
// it back.
func (h *Hosts) Cut(i int) error  { return ip("-n " + h.name + " link set " + h.port(i) + " down") }
func (h *Hosts) Join(i int) error { return ip("-n " + h.name + " link set " + h.port(i) + " up") }

// Remove ends the namespaces. What still runs in them keeps running, alone.
func (h *Hosts) Remove() error {
	var all error
	for i := 1; i <= h.n; i++ {
		all = errors.Join(all, ip("netns del "+h.host(i)))
	}
	return errors.Join(all, ip("netns del "+h.name))
}

func ip(args string) error {
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}
