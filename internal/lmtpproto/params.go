package lmtpproto

import "strings"

// Param is one ESMTP parameter, its keyword in upper case.
type Param struct {
	Key, Value string
	HasValue   bool // KEY= and KEY differ
}

// Envelope is the arguments of MAIL or RCPT.
type Envelope struct {
	Path   Path
	Params []Param
}

// ParseMail reads the arguments of MAIL. A sender that is no address is taken
// for the null one, as Dovecot does: a mail in hand is not to be lost over its
// return address (spec/lmtp.md 24.14).
func ParseMail(args string, w Workarounds) (Envelope, error) {
	inner, params, err := parseEnvelope(args, "FROM:", w)
	if err != nil || inner == "" {
		return Envelope{Params: params}, err
	}
	path, err := parseAddress(inner)
	if err != nil {
		path = Path{}
	}
	return Envelope{path, params}, nil
}

// ParseRcpt reads the arguments of RCPT. The domain may be missing, the null
// path is an error.
func ParseRcpt(args string, w Workarounds) (Envelope, error) {
	inner, params, err := parseEnvelope(args, "TO:", w)
	if err != nil {
		return Envelope{}, err
	}
	if inner == "" {
		return Envelope{}, ErrParam
	}
	path, err := parseAddress(inner)
	return Envelope{path, params}, err
}

func parseEnvelope(args, word string, w Workarounds) (inner string, params []Param, err error) {
	if len(args) < len(word) || !strings.EqualFold(args[:len(word)], word) {
		return "", nil, ErrParam
	}
	inner, rest, err := cutPath(args[len(word):], w)
	if err != nil {
		return "", nil, err
	}
	params, err = parseParams(rest)
	return inner, params, err
}

// parseParams reads KEY and KEY=VALUE, separated by one blank each. A keyword
// that stands twice is an error, since nobody could say which one counts.
func parseParams(s string) ([]Param, error) {
	if s == "" {
		return nil, nil
	}
	words := strings.Split(s, " ")
	if len(words) > MaxParams {
		return nil, ErrParam
	}
	params := make([]Param, 0, len(words))
	for _, word := range words {
		key, value, has := strings.Cut(word, "=")
		if !keyword(key) || has && !paramValue(value) {
			return nil, ErrParam
		}
		key = strings.ToUpper(key)
		for _, p := range params {
			if p.Key == key {
				return nil, ErrParam
			}
		}
		params = append(params, Param{key, value, has})
	}
	return params, nil
}

// keyword is esmtp-keyword of RFC 5321 section 4.1.2.
func keyword(s string) bool {
	return s != "" && s[0] != '-' && alnum(strings.ReplaceAll(s, "-", ""))
}

// paramValue is esmtp-value, with the UTF-8 of RFC 6533's ORCPT.
func paramValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '=' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// ParseSIZE reads the value of SIZE (RFC 1870 section 3).
func ParseSIZE(value string) (int64, error) { return parseSize(value) }

// ParseORCPT reads the value of ORCPT (RFC 3461 section 4.2): an address type
// and the address in xtext; for utf-8 (RFC 6533) the bytes as they are.
func ParseORCPT(value string) (typ, addr string, err error) {
	typ, enc, found := strings.Cut(value, ";")
	if !found || len(value) > MaxORCPT || enc == "" || !keyword(typ) {
		return "", "", ErrParam
	}
	if strings.EqualFold(typ, "utf-8") {
		return typ, enc, nil
	}
	addr, err = DecodeXtext(enc)
	return typ, addr, err
}

// ParseXClient reads XCLIENT's attributes, values decoded. Those that the peer
// does not know ([UNAVAILABLE], [TEMPUNAVAIL]) are left out. What the values
// mean is the caller's business.
func ParseXClient(args string) ([]Param, error) {
	var params []Param
	for word := range strings.SplitSeq(args, " ") {
		key, enc, has := strings.Cut(word, "=")
		if !has || !keyword(key) || len(params) == MaxParams {
			return nil, ErrParam
		}
		if strings.EqualFold(enc, "[UNAVAILABLE]") || strings.EqualFold(enc, "[TEMPUNAVAIL]") {
			continue
		}
		value, err := DecodeXtext(enc)
		if err != nil {
			return nil, err
		}
		params = append(params, Param{strings.ToUpper(key), value, true})
	}
	return params, nil
}
