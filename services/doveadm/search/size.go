package search

import (
	"math"
	"strconv"
	"strings"
)

// parseSize reads "1k", "2 MiB" and the like, in powers of 1024.
func parseSize(s string) (n uint64, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseUint(s[:i], 10, 63)
	if err != nil {
		return 0, false
	}
	unit := strings.ToUpper(strings.TrimLeft(s[i:], " "))
	if unit == "" || unit == "B" {
		return n, true
	}
	power := strings.IndexByte("KMGT", unit[0])
	switch unit[1:] {
	case "", "B", "I", "IB":
	default:
		return 0, false
	}
	shift := 10 * (power + 1)
	if power < 0 || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}
