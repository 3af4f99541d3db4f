package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/services/doveadm/command"
)

// loginPatience bounds one login: the delays of wrong passwords are within it.
const loginPatience = 60 * time.Second

// params reads -x, given once for each fact about the client. A lookup wants
// those that a lookup can use; a login passes on whatever is said.
func (o *operation) params() (authproto.Params, error) {
	p, extra, err := o.facts()
	if err == nil && len(extra) > 0 {
		return p, failed(exitUsage, "-x %s: want service, lip, rip, lport, rport or session, and =value", command.Quote(extra[0]))
	}
	return p, err
}

func (o *operation) facts() (p authproto.Params, extra []string, err error) {
	p = authproto.Params{Service: "doveadm"}
	for _, info := range o.p.Values("auth-info") {
		name, value, valued := strings.Cut(info, "=")
		to := map[string]*string{
			"service": &p.Service, "protocol": &p.Service, "session": &p.Session,
			"lip": &p.LocalIP, "rip": &p.RemoteIP, "lport": &p.LocalPort, "rport": &p.RemotePort,
		}[name]
		switch {
		case to != nil && valued:
			*to = value
		case name == "" || name == "resp":
			return p, nil, failed(exitUsage, "-x %s is no fact about a client", command.Quote(info))
		default:
			extra = append(extra, info)
		}
	}
	return p, extra, nil
}

// socket gives the path of one of auth's sockets: what the option says, or the
// name in base_dir.
func (o *operation) socket(option, name string) (string, error) {
	if at := o.p.Value(option); at != "" {
		return at, nil
	}
	cfg, err := o.load()
	if err != nil {
		return "", err
	}
	return path.Join(cfg.Global.String("base_dir"), name), nil
}

// authLookup prints what the passdb says.
func (o *operation) authLookup() error {
	params, err := o.params()
	if err != nil {
		return err
	}
	client, err := o.auth()
	if err != nil {
		return err
	}
	defer client.Close()
	var all error
	for _, name := range o.p.All("user") {
		fields, err := client.Pass(o.ctx, name, params)
		switch {
		case errors.Is(err, authproto.ErrNotFound):
			o.line("passdb lookup: user " + name + " doesn't exist")
			all = &failure{exitNoUser, ""}
		case err != nil:
			return fmt.Errorf("passdb lookup of %s: %w", name, err)
		case o.p.Has("field"):
			if value, ok := fields[o.p.Value("field")]; ok {
				o.line(value)
			}
		default:
			o.block("passdb", fields["user"], sorted(fields))
		}
	}
	return all
}

// authTest tries a password on the socket that MTAs use.
func (o *operation) authTest() error {
	l, err := o.logIn("auth-client")
	if err != nil {
		return err
	}
	defer l.Close()
	_, err = o.try(l)
	return err
}

// authLogin goes on to what a login would get: the user's userdb fields.
func (o *operation) authLogin() error {
	l, err := o.logIn("auth-login")
	if err != nil {
		return err
	}
	defer l.Close()
	ok, err := o.try(l)
	if err != nil {
		return err
	}
	for _, stop := range []string{"nologin", "proxy"} {
		if has(ok.Args, stop) {
			return failed(exitNoPerm, "%s: the entry says %s: there is nothing to log in to here", ok.User, stop)
		}
	}
	at, err := o.socket("auth-login-socket-path", "auth-master")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(o.ctx, loginPatience)
	defer cancel()
	master, err := new(net.Dialer).DialContext(ctx, "unix", at)
	if err != nil {
		return fmt.Errorf("userdb lookup: %w", err)
	}
	fields, err := l.Finish(ctx, master, ok.ID)
	if err != nil {
		return fmt.Errorf("userdb lookup: %w", err)
	}
	o.line("userdb extra fields:")
	o.indented(fields)
	return nil
}

func (o *operation) logIn(name string) (*authproto.Login, error) {
	at, err := o.socket("socket-path", name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(o.ctx, loginPatience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", at)
	if err != nil {
		return nil, err
	}
	return authproto.OpenLogin(ctx, conn)
}

// try makes the login and prints how it ended. The authorization identity is
// always there, as Dovecot's own command has it.
func (o *operation) try(l *authproto.Login) (authproto.Accepted, error) {
	params, extra, err := o.facts()
	if err != nil {
		return authproto.Accepted{}, err
	}
	user := o.p.Arg("user")
	who := user
	if o.p.Has("master-user") {
		who = o.p.Value("master-user")
	}
	secret, err := o.secret()
	if err != nil {
		return authproto.Accepted{}, err
	}
	if !slices.Contains(l.Mechanisms, "PLAIN") {
		return authproto.Accepted{}, failed(exitUnavailable, "auth offers %s and not PLAIN (auth_mechanisms)", strings.Join(l.Mechanisms, ", "))
	}
	ctx, cancel := context.WithTimeout(o.ctx, loginPatience)
	defer cancel()
	ok, err := l.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN", Params: params, Extra: extra,
		Initial: authproto.PlainResponse(user, who, secret)})
	var no *authproto.Refused
	if errors.As(err, &no) {
		o.line("passdb: " + user + " auth failed")
		o.extraFields(no.Args)
		return ok, &failure{exitNoPerm, ""}
	}
	if err != nil {
		return ok, fmt.Errorf("passdb: %s: %w", user, err)
	}
	o.line("passdb: " + user + " auth succeeded")
	o.extraFields(ok.Args)
	return ok, nil
}

// secret gives the password: the argument, or asked for, or the first line of an
// input that is no terminal.
func (o *operation) secret() (string, error) {
	if o.p.Has("password") || o.p.Arg("password") != "" {
		return o.p.Arg("password"), nil
	}
	if o.Password != nil {
		return o.Password("Password: ")
	}
	text, err := line(o.In)
	if err != nil {
		return "", failed(exitUsage, "no password on standard input: %v", err)
	}
	return strings.TrimSuffix(text, "\r"), nil
}

func (o *operation) extraFields(args []string) {
	if len(args) == 0 {
		return
	}
	o.line("extra fields:")
	o.indented(args)
}

// indented prints fields; one whose name has to do with passwords is another
// server's, and hidden.
func (o *operation) indented(args []string) {
	for _, a := range args {
		if name, _, valued := strings.Cut(a, "="); valued && strings.Contains(name, "pass") {
			a = name + "=***"
		}
		o.line("  " + authproto.Clean(a))
	}
}

func has(args []string, name string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == name || strings.HasPrefix(a, name+"=") })
}

// authMaster gives a client of auth's master socket. Whoever types a command does
// not wait for an auth that is not there.
func (o *operation) authMaster() (*authproto.Client, error) {
	at, err := o.socket("socket-path", "auth-master")
	if err != nil {
		return nil, err
	}
	return &authproto.Client{Dial: authproto.Path(at), Patience: time.Second}, nil
}

// authCacheFlush has auth forget what it remembers of some users or of all.
func (o *operation) authCacheFlush() error {
	client, err := o.authMaster()
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := client.CacheFlush(o.ctx, o.p.All("user"))
	if err != nil {
		return fmt.Errorf("auth cache flush: %w", err)
	}
	o.line(fmt.Sprintf("%d cache entries flushed", n))
	return nil
}

// authCacheStatus prints what auth says of its cache.
func (o *operation) authCacheStatus() error {
	client, err := o.authMaster()
	if err != nil {
		return err
	}
	defer client.Close()
	fields, err := client.CacheStatus(o.ctx)
	if err != nil {
		return fmt.Errorf("auth cache status: %w", err)
	}
	if len(fields) == 0 {
		o.line("auth keeps no cache (auth_cache_size = 0, or nothing that it would serve)")
		return nil
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		if err := o.row(name, value); err != nil {
			return err
		}
	}
	return o.header()
}
