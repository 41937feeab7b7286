// Package whip is a WHIP server, RFC 9725. A session is one leg of one call, both named by the path: /whip/{call}/{leg}.
package whip
