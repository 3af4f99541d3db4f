package peer

import (
	"net"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"culver/internal/mailtest"
)

// An smtpd for each of the services, on sockets in public/. Tests choose the
// address that Postfix sees.
const (
	saslMainCF = `
smtpd_sasl_type = dovecot
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100
smtpd_authorized_xclient_hosts = 127.0.0.0/8
`
	saslMasterCF = `
submit-users unix n     -       n       -       -       smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_path=private/auth-users
submit-down  unix n     -       n       -       -       smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_path=private/auth-down
`
)

// startSubmission runs a Postfix that asks auth, and says where its private
// directory is, and whose.
func startSubmission(t *testing.T) (m mta, private string, uid int) {
	t.Helper()
	mailtest.NeedRoot(t)
	mailtest.NeedProgram(t, "postfix", "postfix")
	mailtest.NeedProgram(t, "gsasl", "gsasl")
	p := startPostfixWith(t, "error:none", saslMainCF, saslMasterCF)
	owner, err := user.Lookup("postfix")
	if err == nil {
		uid, err = strconv.Atoi(owner.Uid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return mta{offers: smtpMechanisms, dial: func(t *testing.T, service, client string) *smtpLogin {
		t.Helper()
		conn, err := net.Dial("unix", filepath.Join(p.dir, "spool/public/submit-"+service))
		if err != nil {
			t.Fatal(err)
		}
		return greetSMTP(t, conn, "XCLIENT NAME=[UNAVAILABLE] ADDR="+client)
	}}, filepath.Join(p.dir, "spool/private"), uid
}

func TestPostfixAuthenticates(t *testing.T) {
	t.Parallel()
	m, private, uid := startSubmission(t)
	dir, _ := someUsers(t, 0)
	services := saslServices(dir, private, uid)
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

// The harness must hold with an auth service that is known to be right, in what
// it does right, before it judges ours.
func TestPostfixAuthenticatesWithDovecot(t *testing.T) {
	t.Parallel()
	m, private, uid := startSubmission(t)
	dir, _ := someUsers(t, 0)
	dovecotSASL(t, saslServices(dir, private, uid)["users"])
	w := &waits{t: t}
	checkMechanisms(w, m, attempts[:2])
	w.Wait()
}
