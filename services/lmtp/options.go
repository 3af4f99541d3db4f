package lmtp

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/servertls"
	"culver/internal/settings/finished"
)

// Options are the front's settings, typed.
type Options struct {
	Hostname        string
	Greeting        string
	Delimiters      string // recipient_delimiter
	MaxSize         int64  // mail_max_size, 0 for none
	MaxRecipients   int
	MaxBadCommands  int
	CommandTimeout  time.Duration
	DeliveryTimeout time.Duration
	CheckQuota      bool // lmtp_rcpt_check_quota
	Workarounds     lmtpproto.Workarounds

	ClientLimit  int
	SpoolDir     string
	SpoolMemory  int64
	SpoolLimit   int64
	QueueLimit   int           // worker_queue_limit, for spools as well
	QueueTimeout time.Duration // worker_queue_timeout, for spools as well

	LoginTrusted   []netip.Prefix // may use XCLIENT
	HAProxyTrusted []netip.Prefix // may send a PROXY header
	HAProxyTimeout time.Duration

	transfer time.Duration // maxTransfer; tests are shorter
	discard  int64         // maxDiscard
	grace    time.Duration // commandGrace

	TLS         *tls.Config // nil: no STARTTLS
	TLSRequired bool        // on inet listeners

	ProxyOn     bool   // lmtp_proxy
	Authorities string // PEM, for TLS to backends

	Debug bool
}

// OptionsOf reads the finished settings.
func OptionsOf(b finished.Bag) (Options, error) {
	o := Options{
		Hostname:        b.String("hostname"),
		Greeting:        b.String("login_greeting"),
		Delimiters:      b.String("recipient_delimiter"),
		MaxSize:         b.Int("mail_max_size"),
		MaxRecipients:   int(b.Int("lmtp_max_recipients")),
		MaxBadCommands:  int(b.Int("lmtp_max_bad_commands")),
		CommandTimeout:  b.Duration("lmtp_command_timeout"),
		DeliveryTimeout: b.Duration("lmtp_delivery_timeout"),
		CheckQuota:      b.Bool("lmtp_rcpt_check_quota"),
		ClientLimit:     int(b.Int("client_limit")),
		SpoolDir:        b.String("spool_dir"),
		SpoolMemory:     b.Int("spool_memory"),
		SpoolLimit:      b.Int("spool_limit"),
		QueueLimit:      int(b.Int("worker_queue_limit")),
		QueueTimeout:    b.Duration("worker_queue_timeout"),
		HAProxyTimeout:  b.Duration("haproxy_timeout"),
		ProxyOn:         b.Bool("lmtp_proxy"),
		Authorities:     b["ssl_client_ca_pem"],
		Debug:           b.Bool("log_debug"),
	}
	workarounds := b.List("lmtp_client_workarounds")
	o.Workarounds.WhitespaceBeforePath = slices.Contains(workarounds, "whitespace-before-path")
	o.Workarounds.MailboxForPath = slices.Contains(workarounds, "mailbox-for-path")
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname()
	}
	var err error
	if o.LoginTrusted, err = prefixes(b.List("login_trusted_networks")); err != nil {
		return o, fmt.Errorf("login_trusted_networks: %w", err)
	}
	if o.HAProxyTrusted, err = prefixes(b.List("haproxy_trusted_networks")); err != nil {
		return o, fmt.Errorf("haproxy_trusted_networks: %w", err)
	}
	o.TLS, err = servertls.Config(b)
	o.TLSRequired = b.String("ssl") == "required"
	return o, err
}

// prefixes reads networks; an address alone is a network of one.
func prefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if !strings.Contains(s, "/") {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, err
			}
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// contains tells whether the address is in one of the networks. The zero
// address, which is every unix peer's, is in none.
func contains(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}
