package server

import (
	"testing"
	"time"

	"culver/internal/settings"
	"culver/internal/settings/finished"
)

func TestOptionsOf(t *testing.T) {
	t.Parallel()
	b := finished.Bag{
		"class": settings.ClassLocal, "doveadm_allowed_commands": "search\tmailbox list",
		"doveadm_auth_timeout": "30000000000", "doveadm_worker_timeout": "120000000000", "client_limit": "4096",
		"worker_queue_limit": "2000", "shutdown_timeout": "30000000000", "log_debug": "no",
	}
	o, err := OptionsOf(b)
	if err != nil || o.TLS != nil || o.Network || o.AuthSocket != "" || len(o.Allowed) != 2 || o.StopGrace != 15*time.Second || o.WorkerTimeout != 2*time.Minute {
		t.Errorf("got %+v", o)
	}
	for _, class := range []string{settings.ClassNetwork, "", "new"} {
		b["class"] = class
		if o, _ := OptionsOf(b); !o.Network {
			t.Errorf("a front of class %q believes its peers", class)
		}
	}
}
