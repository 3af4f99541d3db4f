package operate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"culver/internal/password"
	"culver/services/doveadm/command"
)

// pw hashes a password, or tests one against a hash.
func (o *operation) pw() error {
	if o.p.Has("list") {
		var names []string
		for _, s := range password.Schemes() {
			names = append(names, s.Name)
		}
		o.line(strings.Join(names, " "))
		return nil
	}
	rounds := 0
	if o.p.Has("rounds") {
		var err error
		if rounds, err = strconv.Atoi(o.p.Value("rounds")); err != nil || rounds < 1 {
			return failed(exitUsage, "-r wants a number of rounds")
		}
	}
	if o.p.Has("test-hash") {
		return o.testHash(o.p.Value("test-hash"))
	}
	plain, err := o.plaintext(true)
	if err != nil {
		return err
	}
	scheme := password.Default
	if o.p.Has("scheme") {
		scheme = o.p.Value("scheme")
	}
	login := o.p.Value("user")
	stored, err := password.Hash(scheme, login, plain, rounds)
	if errors.Is(err, password.ErrScheme) {
		return failed(exitUsage, "%v (%s pw -l lists them)", err, command.Program)
	}
	if err != nil {
		return failed(exitUsage, "%v", err)
	}
	o.warnOfWeak(stored)
	if o.p.Has("verify") {
		if ok, err := anyScheme.Match(stored, login, plain); err != nil || !ok {
			return fmt.Errorf("the new hash does not match (%v): do not use it", err)
		}
		stored += " (verified)"
	}
	o.line(stored)
	return nil
}

func (o *operation) testHash(stored string) error {
	if scheme, _ := password.Split(stored); scheme == "" {
		if !o.p.Has("scheme") {
			return failed(exitUsage, "the hash has no {SCHEME} before it, and no -s says it")
		}
		stored = "{" + o.p.Value("scheme") + "}" + stored
	}
	plain, err := o.plaintext(false)
	if err != nil {
		return err
	}
	ok, err := anyScheme.Match(stored, o.p.Value("user"), plain)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the password does not have this hash")
	}
	o.warnOfWeak(stored)
	o.line(stored + " (verified)")
	return nil
}

// anyScheme tests and makes what auth itself might refuse.
var anyScheme = password.Checker{AllowWeak: true}

// warnOfWeak says so where auth, as it is shipped, would not take the hash.
func (o *operation) warnOfWeak(stored string) {
	if info, err := anyScheme.Look(stored); err == nil && info.Weak != "" {
		fmt.Fprintf(o.Err, "%s pw: %s is weak (%s): auth refuses it unless auth_allow_weak_schemes = yes\n", command.Program, info.Scheme, info.Weak)
	}
}

// plaintext gives the password: from -p, asked for (twice if it is new), or the
// first line of an input that is no terminal.
func (o *operation) plaintext(isNew bool) (string, error) {
	if o.p.Has("plaintext") {
		return o.p.Value("plaintext"), nil
	}
	if o.Password == nil {
		plain, err := line(o.In)
		if err != nil {
			return "", failed(exitUsage, "no password on standard input, and no -p: %v", err)
		}
		return strings.TrimSuffix(plain, "\r"), nil
	}
	if !isNew {
		return o.Password("Password to test: ")
	}
	first, err := o.Password("New password: ")
	if err != nil {
		return "", err
	}
	again, err := o.Password("New password again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", failed(exitUsage, "the passwords differ")
	}
	return first, nil
}
