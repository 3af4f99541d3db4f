package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
)

// front takes the place of doveadm's, one that somebody has taken over. Of each
// client it takes orders, a line each, and answers with a line:
//
//	login NAME PASSWORD     tells auth who the client is
//	ticket USER COMMAND...  asks auth for a ticket; "_" is a blank in a command
//	hire USER [TICKET]      asks the master for that user's worker
//	ask COMMAND WORD...     gives the last worker a command, and tells its status
//	abandon                 gives the last worker up, without an answer
//	password                shows the password that its settings have
//
// It holds what it hired until its client is gone.
func front() {
	p := worker.Begin(true)
	master := favour.NewControl(p.Control, "doveadm-worker")
	for i, fd := range p.Listeners() {
		l, err := net.FileListener(os.NewFile(uintptr(fd), fmt.Sprint("listener ", i)))
		if err != nil {
			logline.Print(logline.Fatal, "", "", "%v", err)
			os.Exit(worker.ExitConfig)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go (&puppet{Conn: c, master: master, p: p}).serve()
			}
		}()
	}
	master.Status(1, 0)
	master.Run(func() { os.Exit(0) })
	os.Exit(0)
}

// puppet does what one client says.
type puppet struct {
	net.Conn
	master *favour.Control
	p      *worker.Process

	auth  *authproto.Login
	login uint32
	last  uint64
	conn  *fdpass.Conn // to the last worker
	held  []*fdpass.Conn
}

func (p *puppet) serve() {
	defer func() {
		for _, c := range p.held {
			c.Close()
		}
		p.Close()
	}()
	for in := bufio.NewScanner(p); in.Scan(); {
		words := append(strings.Fields(in.Text()), "", "")
		var answer string
		var err error
		switch rest := words[1 : len(words)-2]; words[0] {
		case "login":
			answer, err = p.logIn(words[1], words[2])
		case "ticket":
			answer, err = p.ticket(rest)
		case "hire":
			answer, err = p.hire(words[1], words[2])
		case "ask":
			answer, err = p.ask(rest)
		case "abandon":
			p.master.Abandon(p.last)
			continue
		case "password":
			answer = fmt.Sprintf("%q", p.p.Settings["doveadm_password"])
		}
		if err != nil {
			fmt.Fprintln(p, err)
			continue
		}
		fmt.Fprintln(p, p.p.Settings["class"], answer)
	}
}

func (p *puppet) logIn(name, password string) (string, error) {
	conn, err := net.Dial("unix", p.p.Settings["auth_doveadm_path"])
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	if p.auth, err = authproto.OpenLogin(ctx, conn); err != nil {
		return "", err
	}
	ok, err := p.auth.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN", Params: authproto.Params{Service: "doveadm"},
		Initial: authproto.PlainResponse("", name, password)})
	p.login = ok.ID
	return ok.User, err
}

func (p *puppet) ticket(words []string) (string, error) {
	var commands []string
	for _, w := range words[1:] {
		commands = append(commands, strings.ReplaceAll(w, "_", " "))
	}
	t, err := p.auth.Ticket(context.Background(), p.login, words[0], commands)
	return t.Text, err
}

func (p *puppet) hire(user, ticket string) (string, error) {
	fd, id, err := p.master.Numbered(context.Background(), user, ticket)
	if err != nil {
		return "", err
	}
	unix.SetNonblock(fd, true)
	p.last = id
	if p.conn, err = fdpass.New(fd, "worker"); err != nil {
		return "", err
	}
	p.held = append(p.held, p.conn)
	return "ok", nil
}

func (p *puppet) ask(words []string) (string, error) {
	cmd := doveadmproto.Command{User: "whoever", Name: strings.ReplaceAll(words[0], "_", " "), Args: words[1:]}
	line := cmd.Append(nil)
	doveadmproto.NewPacketWriter(p.conn).Packet(doveadmproto.ChRun, line[:len(line)-1])
	var reply doveadmproto.ReplyReader
	for in := doveadmproto.NewPacketReader(bufio.NewReader(p.conn)); ; {
		packet, err := in.Next()
		if err != nil {
			return "", err
		}
		if packet.Channel != doveadmproto.ChReply {
			continue
		}
		_, done, err := reply.Feed(packet.Data, func([]byte, bool) error { return nil })
		if err != nil || done {
			return reply.Status(), err
		}
	}
}
