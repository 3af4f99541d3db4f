package lmtp

import (
	"net/netip"
	"testing"
	"time"

	"culver/internal/settings/finished"
)

// settings are those of the front, as the master would send them.
func settings() finished.Bag {
	return finished.Bag{
		"hostname": "vm", "login_greeting": "Culver ready.", "recipient_delimiter": "+",
		"mail_max_size": "104857600", "lmtp_max_recipients": "1000", "lmtp_max_bad_commands": "10",
		"lmtp_command_timeout": "300000000000", "lmtp_delivery_timeout": "270000000000",
		"lmtp_rcpt_check_quota": "no", "lmtp_proxy": "no", "lmtp_reproxy": "always", "lmtp_client_workarounds": "mailbox-for-path",
		"client_limit": "4096", "spool_dir": "/run/culver/spool", "spool_memory": "131072", "spool_limit": "536870912",
		"worker_queue_limit": "2000", "worker_queue_timeout": "60000000000",
		"login_trusted_networks": "192.0.2.0/24\t2001:db8::1", "haproxy_trusted_networks": "", "haproxy_timeout": "3000000000",
		"ssl": "no", "ssl_min_protocol": "TLSv1.2", "log_debug": "no",
	}
}

func TestOptionsOf(t *testing.T) {
	t.Parallel()
	o, err := OptionsOf(settings())
	if err != nil {
		t.Fatal(err)
	}
	if o.DeliveryTimeout != 270*time.Second || o.MaxSize != 100<<20 || o.TLS != nil ||
		!o.Workarounds.MailboxForPath || o.Workarounds.WhitespaceBeforePath {
		t.Errorf("got %+v", o)
	}
	for addr, want := range map[string]bool{
		"192.0.2.77": true, "192.0.3.1": false, "2001:db8::1": true, "2001:db8::2": false,
	} {
		if got := contains(o.LoginTrusted, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s trusted: got %v, want %v", addr, got, want)
		}
	}
	if contains(o.LoginTrusted, netip.Addr{}) {
		t.Error("a peer without address is trusted")
	}
	for _, bad := range [][2]string{
		{"login_trusted_networks", "192.0.2.0/33"}, {"haproxy_trusted_networks", "example.org"},
	} {
		b := settings()
		b[bad[0]] = bad[1]
		if _, err := OptionsOf(b); err == nil {
			t.Errorf("%s = %s: got nil, want an error", bad[0], bad[1])
		}
	}
	b := settings()
	b["ssl"], b["ssl_cert_pem"], b["ssl_key_pem"] = "yes", "no certificate", "no key"
	if _, err := OptionsOf(b); err == nil {
		t.Error("a broken certificate: got nil, want an error")
	}
}
