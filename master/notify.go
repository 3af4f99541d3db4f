package master

import systemd "github.com/coreos/go-systemd/v22/daemon"

// notify tells systemd where we are, when it started us.
func (m *Master) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		m.log.Warn("systemd was not told", "state", state, "err", err)
	}
}
