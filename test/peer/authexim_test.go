package peer

import (
	"net"
	"path/filepath"
	"testing"

	"culver/internal/mailtest"
	"culver/test/system"
)

// startExim gives an Exim that asks auth, at sockets in the folder that comes
// with it.
func startExim(t *testing.T) (m mta, dir string) {
	t.Helper()
	mailtest.NeedRoot(t)
	mailtest.NeedProgram(t, "mmdebstrap", "mmdebstrap")
	mailtest.NeedProgram(t, "gsasl", "gsasl")
	dir, _ = someUsers(t, 0)
	x, err := system.PrepareExim(filepath.Join(dir, "exim"), smtpMechanisms...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.Wait()
		if t.Failed() {
			t.Logf("end of Exim's log:\n%s", tail(x.Log(), 20))
		}
	})
	return mta{offers: smtpMechanisms, dial: func(t *testing.T, service, client string) *smtpLogin {
		t.Helper()
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
		conn, err := from.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := l.AcceptTCP()
		if err == nil {
			err = x.Serve(theirs, filepath.Join(dir, "auth-"+service))
		}
		if err != nil {
			t.Fatal(err)
		}
		return greetSMTP(t, conn)
	}}, dir
}

func TestEximAuthenticates(t *testing.T) {
	t.Parallel()
	m, dir := startExim(t)
	services := saslServices(dir, dir, system.EximUID)
	c := culverSASL(t, services["users"])
	down := culverSASL(t, services["down"])
	checkRestart(t, m, func() { killAuth(t, c) })
	w := &waits{t: t}
	checkMechanisms(w, m, attempts)
	checkPatience(w, m)
	w.Wait()
	checkDeaths(t, c, 1)
	checkDeaths(t, down, 0)
}

func TestEximAuthenticatesWithDovecot(t *testing.T) {
	t.Parallel()
	m, dir := startExim(t)
	dovecotSASL(t, saslServices(dir, dir, system.EximUID)["users"])
	w := &waits{t: t}
	checkMechanisms(w, m, attempts[:2])
	w.Wait()
}
