// Verify a Juniper webhook with Go's standard library.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Verify says whether Juniper signed exactly these bytes in the last five minutes.
func Verify(body []byte, header, secret string, now float64) bool {
	var times, signatures []string
	for _, part := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			times = append(times, value)
		case "v1":
			signatures = append(signatures, value)
		}
	}
	if len(times) != 1 {
		return false
	}
	seconds, err := strconv.ParseUint(times[0], 10, 40)
	if err != nil || math.Abs(now-float64(seconds)) > 300 {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(times[0] + "."))
	mac.Write(body)
	expected := []byte(hex.EncodeToString(mac.Sum(nil)))
	fits := false
	for _, signature := range signatures {
		fits = hmac.Equal(expected, []byte(signature)) || fits
	}
	return fits
}

// go run verify.go HEADER SECRET [NOW] < body
func main() {
	now := float64(time.Now().UnixNano()) / 1e9
	if len(os.Args) > 3 {
		now, _ = strconv.ParseFloat(os.Args[3], 64)
	}
	body, _ := io.ReadAll(os.Stdin)
	if !Verify(body, os.Args[1], os.Args[2], now) {
		os.Exit(1)
	}
}
