package auth

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"culver/internal/tabline"
	"culver/services/auth/field"
	"culver/services/auth/sasl"
	"culver/services/auth/vars"
)

// asked is an AUTH line, read (spec/auth.md 1.3).
type asked struct {
	mechanism string // upper case
	values    vars.Values
	service   bool // it was named, if only with an empty name
	forward   field.List
	certUser  string
	initial   sasl.Input
	finalOK   bool // takes the mechanism's last data with OK
	noPenalty bool
}

// Faults of one request, which the client hears of.
var (
	errBase64   = errors.New("Invalid base64 data in initial response")               //lint:ignore ST1005 Dovecot's words
	errAfter    = errors.New("Parameters after resp")                                 //lint:ignore ST1005 shown as it is
	errService  = errors.New("No service given")                                      //lint:ignore ST1005 shown as it is
	errNoMech   = errors.New("Unsupported authentication mechanism")                  //lint:ignore ST1005 shown as it is
	errInsecure = errors.New("Plaintext authentication needs a protected connection") //lint:ignore ST1005 shown as it is
)

// parseAuth reads the fields of AUTH after its id. Whatever it does not know is
// ignored, and so is an address that is none.
func parseAuth(f []string, minor uint32) (asked, error) {
	a := asked{mechanism: strings.ToUpper(f[0]), initial: sasl.Input{None: true}}
	v := &a.values
	v.Mech = a.mechanism
	for i, p := range f[1:] {
		key, value, valued := strings.Cut(p, "=")
		switch key {
		case "service", "protocol":
			v.Service, a.service = value, true
		case "secured":
			v.Secured = "secured"
			if strings.EqualFold(value, "tls") {
				v.Secured = "TLS"
			}
		case "valid-client-cert":
			v.Cert = "valid"
		case "cert_username":
			a.certUser = value
		case "forward_fields":
			a.forward = forwarded(value)
		case "final-resp-ok":
			a.finalOK = true
		case "no-penalty":
			a.noPenalty = true
		case "resp":
			if i+2 != len(f) {
				return a, errAfter
			}
			if err := a.response(value, minor); err != nil {
				return a, err
			}
		default:
			if valued {
				connection(v, key, value)
			}
		}
	}
	if !a.service {
		return a, errService
	}
	realAddresses(v)
	return a, nil
}

// response reads resp. Postfix and Exim send an empty one where there is none;
// from minor 2 on that is a response of no bytes.
func (a *asked) response(text string, minor uint32) error {
	switch {
	case text == "" && minor < 2:
		return nil
	case text == "=": // SMTP's way to write no bytes (RFC 4954 section 4)
		text = ""
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	a.initial = sasl.Input{Data: data}
	if err != nil {
		return errBase64
	}
	return nil
}

// connection reads a parameter that AUTH, USER and PASS have in common.
func connection(v *vars.Values, key, value string) {
	switch key {
	case "lip":
		address(&v.LocalIP, value)
	case "rip":
		address(&v.RemoteIP, value)
	case "lport":
		port(&v.LPort, value)
	case "rport":
		port(&v.RPort, value)
	case "real_lip":
		address(&v.RealLocalIP, value)
	case "real_rip":
		address(&v.RealRemoteIP, value)
	case "real_lport":
		port(&v.RealLPort, value)
	case "real_rport":
		port(&v.RealRPort, value)
	case "session":
		v.Session = value
	case "local_name":
		v.LocalName = value
	case "client_id":
		v.ClientID = value
	}
}

// realAddresses fills in those that are not given: they differ behind a proxy only.
func realAddresses(v *vars.Values) {
	for _, p := range [...]struct {
		to   *string
		from string
	}{
		{&v.RealLocalIP, v.LocalIP}, {&v.RealRemoteIP, v.RemoteIP},
		{&v.RealLPort, v.LPort}, {&v.RealRPort, v.RPort},
	} {
		if *p.to == "" {
			*p.to = p.from
		}
	}
}

func address(to *string, text string) {
	if ip, err := netip.ParseAddr(text); err == nil {
		*to = ip.Unmap().WithZone("").String()
	}
}

func port(to *string, text string) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		*to = strconv.FormatUint(n, 10)
	}
}

// maxForwarded is how many of forward_fields count. Each takes some hundred bytes of
// memory for three of a line, and the requests of one connection may be a thousand.
const maxForwarded = 64

// forwarded reads forward_fields: a line within the parameter, each of whose
// fields is escaped once more.
func forwarded(text string) (l field.List) {
	for _, p := range tabline.Split(text) {
		if f := field.Cut(p); f.Key != "" && len(l) < maxForwarded {
			f.Key = "forward_" + f.Key
			l = append(l, f)
		}
	}
	return l
}
