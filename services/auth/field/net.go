package field

import (
	"fmt"
	"net/netip"
)

// Net is one item of a field such as allow_nets: a network, an address, or the
// word local for whoever has no address.
type Net struct{ prefix netip.Prefix } // invalid: local

// ParseNet reads an item.
func ParseNet(item string) (Net, error) {
	if item == "local" {
		return Net{}, nil
	}
	if p, err := netip.ParsePrefix(item); err == nil {
		return Net{p}, nil
	}
	one, err := netip.ParseAddr(item)
	if err != nil {
		return Net{}, fmt.Errorf("%q is no network: want such as 192.0.2.0/24, 2001:db8::1 or local", item)
	}
	one = one.Unmap().WithZone("")
	return Net{netip.PrefixFrom(one, one.BitLen())}, nil
}

// Has says whether a client is from there; ip is its address, "" if it has none.
func (n Net) Has(ip string) bool {
	if ip == "" || !n.prefix.IsValid() {
		return ip == "" && !n.prefix.IsValid()
	}
	at, err := netip.ParseAddr(ip)
	return err == nil && n.prefix.Contains(at.Unmap().WithZone(""))
}
