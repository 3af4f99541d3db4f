// Package userstore turns what a worker is told of its user into that user's
// mail store.
//
// Runs as:   the mail's owner, in a box.
// Trusts:    the bag: the master made it of settings and auth's answer.
// Distrusts: nothing.
// Speaks:    packages finished and maildir.
package userstore

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"

	"culver/internal/mailstore/maildir"
	"culver/internal/settings/finished"
)

// Settings lays what the user database says over the settings, and tells whether
// the user's mail is there to be used. quota_rule is a list, of which the later
// rule wins: the user's are added.
func Settings(settings, grant finished.Bag) (finished.Bag, error) {
	if grant["user"] == "" || grant["mail_path"] == "" {
		return nil, errors.New("grant: has no user or no mail_path")
	}
	both := maps.Clone(settings)
	maps.Copy(both, grant)
	if a, b := settings["quota_rule"], grant["quota_rule"]; a != "" && b != "" {
		both["quota_rule"] = a + "\t" + b
	}
	if marker := both["mail_mount_marker"]; marker != "" {
		if _, err := os.Lstat(marker); err != nil {
			return nil, fmt.Errorf("mail_mount_marker: %w", err)
		}
	}
	return both, nil
}

// Config says where this user's mail lies and by which rules it is kept.
func Config(b finished.Bag) (maildir.Config, error) {
	c := maildir.Config{
		Root:          b["mail_path"],
		Home:          b["home"],
		Make:          b["mail_home_create"] == "yes",
		Inbox:         b["inbox_path"],
		Control:       b["control_path"],
		Index:         b["index_path"],
		FS:            b["mail_layout"] == "fs",
		UTF8:          b["mail_utf8"] == "yes",
		Subscriptions: b["subscriptions"],
		Host:          b.String("hostname"),
		NoSync:        b.String("mail_fsync") == "never",
		CRLF:          b.Bool("mail_save_crlf"),
		TempScan:      b.Duration("mail_temp_scan_interval"),
	}
	namespace(b, &c)
	if b.String("quota_enforce") == "none" {
		return c, nil
	}
	var err error
	c.Quota, err = maildir.ParseQuota(b.List("quota_rule"), b.String("quota_grace"))
	return c, err
}

// namespace takes over the one that has the INBOX.
func namespace(b finished.Bag, c *maildir.Config) {
	n, _ := strconv.Atoi(b["namespace/count"])
	for i := range n {
		at := "namespace/" + strconv.Itoa(i) + "/"
		if b[at+"inbox"] != "yes" && n > 1 {
			continue
		}
		c.Prefix, c.Separator = b[at+"prefix"], b[at+"separator"]
		boxes, _ := strconv.Atoi(b[at+"mailbox/count"])
		for j := range boxes {
			box := at + "mailbox/" + strconv.Itoa(j) + "/"
			if auto := b[box+"auto"]; auto == "create" || auto == "subscribe" {
				c.Auto = append(c.Auto, maildir.AutoFolder{Name: b[box+"name"], Subscribe: auto == "subscribe"})
			}
		}
		return
	}
}
