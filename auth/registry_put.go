// Copyright The gatecast Authors
// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatecast/gatecast/internal/event"

	"github.com/google/uuid"
)

// A TokenDigest describes a token by its digest. Who imports one keeps the secret.
type TokenDigest struct {
	ID        string // empty: a UUID, or the id that the gateway's token with this digest has
	SHA256    [sha256.Size]byte
	CreatedAt time.Time // zero: now, or the time that the gateway's token with this digest has
	ExpiresAt time.Time // zero: never
}

// A GatewayChange says what a gateway is to be. What is nil or zero stays as it is.
type GatewayChange struct {
	Name           *string
	OrganizationID *string
	Groups         []string // not nil: replaces the groups
	CreatedAt      time.Time
	Tokens         []TokenDigest // not nil: replaces the tokens
}

// An Outcome says what a change has done.
type Outcome uint8

// The outcomes of [Import.Put] and [Import.Add].
const (
	Unchanged Outcome = iota
	Created
	Updated
)

// String returns the outcome as it is in answers.
func (o Outcome) String() string { return [...]string{"unchanged", "created", "updated"}[o] }

// An Import changes gateways, with tokens that somebody else has made. Its barrier is the
// log's position at BeginImport, so it is for changes that were asked for before that.
// Any goroutine can use it.
type Import struct {
	r  *Registry
	at event.Cursor
}

// BeginImport returns an Import. It fails when this node cannot find out which tokens the
// other nodes have.
func (r *Registry) BeginImport(ctx context.Context) (*Import, error) {
	if err := r.CatchUp(ctx); err != nil {
		return nil, err
	}
	at, err := r.position(ctx)
	if err != nil {
		return nil, err
	}
	return &Import{r, at}, nil
}

// Put creates or changes a gateway. A change of groups or organization begins at the
// Import's position. Tokens that are not in the change any more are revoked. Errors are
// [*event.FieldError], [*DigestConflict], ErrConflict and the store's.
func (im *Import) Put(ctx context.Context, id string, c GatewayChange) (Gateway, Outcome, error) {
	return im.put(ctx, id, c, true)
}

// Add is Put for a gateway of a file, which can be old: tokens are set only when the
// gateway is created.
func (im *Import) Add(ctx context.Context, id string, c GatewayChange) (Gateway, Outcome, error) {
	return im.put(ctx, id, c, false)
}

// put is Put, and Add without tokens of existing gateways.
func (im *Import) put(ctx context.Context, id string, c GatewayChange, tokens bool) (g Gateway, done Outcome, err error) {
	if err := c.check(id); err != nil {
		return g, done, err
	}
	e := im.r.dir.entry(id)
	assumeNone := e == nil || e.external
	if !assumeNone && !tokens { // an import that is repeated only reads memory
		if rec := e.record(); c.apply(rec, im.at).same(rec) {
			return *e.gateway, Unchanged, nil
		}
	}
	err = im.r.retry(id, func() error {
		var rec *record
		var revision uint64
		if !assumeNone { // else creating it fails if it exists
			rec, revision, err = im.r.readOrNone(ctx, id)
		}
		assumeNone = false
		switch {
		case err != nil:
			return err
		case rec == nil:
			done = Created
			rec, err = im.create(ctx, id, c)
		default:
			rec, done, err = im.update(ctx, rec, revision, c, tokens)
		}
		if err == nil {
			g = rec.gateway()
		}
		return err
	})
	return g, done, err
}

// readOrNone is read, except that the record of a gateway that does not exist is nil.
func (r *Registry) readOrNone(ctx context.Context, id string) (*record, uint64, error) {
	rec, revision, err := r.read(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	return rec, revision, err
}

// create registers a gateway.
func (im *Import) create(ctx context.Context, id string, c GatewayChange) (*record, error) {
	n := NewGateway{ID: id, Groups: c.Groups, CreatedAt: c.CreatedAt, Tokens: c.Tokens}
	if c.Name != nil {
		n.Name = *c.Name
	}
	if c.OrganizationID != nil {
		n.OrganizationID = *c.OrganizationID
	}
	n, err := n.check()
	if err != nil {
		return nil, err
	}
	now := im.r.now().UTC().Round(0)
	rec := &record{
		ID: id, Name: n.Name, OrganizationID: n.OrganizationID, Groups: n.Groups,
		CreatedAt: now, RegisteredAt: im.at, Tokens: tokenRecords(n.Tokens, nil, now),
	}
	rec.setCreatedAt(n.CreatedAt)
	return rec, im.r.insert(ctx, rec)
}

// errExists says that the record of a new gateway exists already.
var errExists = fmt.Errorf("%w: the gateway exists", ErrConflict)

// insert stores the record of a new gateway whose tokens were made elsewhere.
func (r *Registry) insert(ctx context.Context, rec *record) error {
	made, err := r.claimAll(ctx, rec.ID, rec.Tokens, nil)
	if err != nil {
		return err
	}
	revision, err := r.store.Create(ctx, recordPrefix+rec.ID, rec.encode())
	switch {
	case errors.Is(err, ErrConflict):
		r.release(ctx, made)
		return errExists
	case err != nil: // it was possibly stored
		return err
	}
	return r.apply(func(now time.Time) { r.state.put(rec, revision, now) })
}

// update changes a registered gateway.
func (im *Import) update(ctx context.Context, rec *record, revision uint64, c GatewayChange, tokens bool) (*record, Outcome, error) {
	r := im.r
	next := c.apply(rec, im.at)
	if tokens && c.Tokens != nil {
		next.Tokens = tokenRecords(c.Tokens, rec.Tokens, r.now().UTC().Round(0))
	}
	if next.same(rec) {
		return rec, Unchanged, nil
	}
	made, err := r.claimAll(ctx, rec.ID, next.Tokens, rec.Tokens)
	if err != nil {
		return nil, 0, err
	}
	dropped := slices.DeleteFunc(slices.Clone(rec.Tokens), func(t tokenRecord) bool { return next.has(t.SHA256) })
	if err := r.bury(ctx, rec.ID, dropped); err != nil {
		return nil, 0, err
	}
	next.Edits++
	revision, err = r.store.Update(ctx, recordPrefix+rec.ID, next.encode(), revision)
	switch {
	case errors.Is(err, ErrConflict):
		r.release(ctx, made)
		return nil, 0, err
	case err != nil:
		return nil, 0, err
	}
	return next, Updated, r.apply(func(now time.Time) { r.state.put(next, revision, now) })
}

// check checks a change, and sorts its groups.
func (c *GatewayChange) check(id string) error {
	n := NewGateway{ID: id, Name: "-", Groups: c.Groups, CreatedAt: c.CreatedAt, Tokens: c.Tokens}
	if id == "" {
		return &event.FieldError{Field: "id", Problem: "is missing; want the gateway's id, by which a repeated import finds it"}
	}
	if c.Name != nil {
		n.Name = *c.Name
	}
	if c.OrganizationID != nil {
		n.OrganizationID = *c.OrganizationID
	}
	n, err := n.check()
	if err != nil {
		return err
	}
	if c.Groups != nil {
		c.Groups = append([]string{}, n.Groups...)
	}
	return nil
}

// apply returns a copy of a record with the change, except for tokens. at is the log's
// position: what the gateway joins begins there.
func (c *GatewayChange) apply(rec *record, at event.Cursor) *record {
	next := *rec
	if c.Name != nil {
		next.Name = *c.Name
	}
	if c.OrganizationID != nil && *c.OrganizationID != rec.OrganizationID {
		next.OrganizationID, next.OrganizationSince = *c.OrganizationID, at
		if next.OrganizationID == "" {
			next.OrganizationSince = event.Cursor{}
		}
	}
	if c.Groups != nil {
		next.setGroups(c.Groups, at)
	}
	next.setCreatedAt(c.CreatedAt)
	return &next
}

// setGroups replaces the groups of a record, at a position of the log.
func (r *record) setGroups(groups []string, at event.Cursor) {
	before := r.JoinedAt
	joined := make(map[string]event.Cursor)
	for _, name := range groups {
		if !slices.Contains(r.Groups, name) {
			joined[name] = at
		} else if since, ok := before[name]; ok {
			joined[name] = since
		}
	}
	r.Groups, r.JoinedAt = groups, joined
}

// setCreatedAt sets the date of a gateway, unless it is zero. The record keeps the time by
// which registrations of one id are told apart.
func (r *record) setCreatedAt(at time.Time) {
	if at.IsZero() || at.Equal(r.CreatedAt) {
		return
	}
	r.Since = r.registration()
	r.CreatedAt = at
}

// same reports whether two records of a gateway describe it with the same tokens.
func (r *record) same(o *record) bool {
	return r.Name == o.Name && r.OrganizationID == o.OrganizationID && slices.Equal(r.Groups, o.Groups) &&
		r.CreatedAt.Equal(o.CreatedAt) && slices.EqualFunc(r.Tokens, o.Tokens, tokenRecord.equal)
}

// has reports whether the record has a token with a digest.
func (r *record) has(d digest) bool {
	return slices.ContainsFunc(r.Tokens, func(t tokenRecord) bool { return t.SHA256 == d })
}

func (t tokenRecord) equal(o tokenRecord) bool {
	return t.ID == o.ID && t.SHA256 == o.SHA256 && t.CreatedAt.Equal(o.CreatedAt) && t.ExpiresAt.Equal(o.ExpiresAt)
}

// tokenRecords returns the records of checked tokens, oldest first. known are the tokens
// that the gateway has.
func tokenRecords(tokens []TokenDigest, known []tokenRecord, now time.Time) []tokenRecord {
	list := make([]tokenRecord, 0, len(tokens))
	for _, t := range tokens {
		rec := tokenRecord{ID: t.ID, SHA256: t.SHA256, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
		i := slices.IndexFunc(known, func(k tokenRecord) bool { return k.SHA256 == rec.SHA256 })
		if i >= 0 && rec.ID == "" {
			rec.ID = known[i].ID
		}
		if i >= 0 && rec.CreatedAt.IsZero() {
			rec.CreatedAt = known[i].CreatedAt
		}
		if rec.ID == "" {
			rec.ID = uuid.NewString()
		}
		if rec.CreatedAt.IsZero() {
			rec.CreatedAt = now
		}
		list = append(list, rec)
	}
	slices.SortStableFunc(list, func(a, b tokenRecord) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// checkDigests checks tokens that somebody else made, and brings their times into the form
// of the store.
func checkDigests(tokens []TokenDigest) (list []TokenDigest, err error) {
	bad := func(i int, name, problem string) error {
		return &event.FieldError{Field: fmt.Sprintf("tokens[%d]%s", i, name), Problem: problem}
	}
	if len(tokens) > MaxTokens {
		return nil, &event.FieldError{Field: "tokens", Problem: fmt.Sprintf("has %d tokens; a gateway has at most %d: import those in use", len(tokens), MaxTokens)}
	}
	for i, t := range tokens {
		const problem = "is outside the years 1 to 9999; leave it out if it is not known"
		switch {
		case t.ID != "" && !event.ValidName(t.ID):
			return nil, bad(i, ".id", fmt.Sprintf("want 1 to %d of letters, digits, _ and -, or leave it out", event.MaxNameLen))
		case digest(t.SHA256) == digest{}:
			return nil, bad(i, ".sha256", "is missing; want the token's SHA-256 as 64 hexadecimal digits")
		}
		if !t.CreatedAt.IsZero() {
			if t.CreatedAt, err = storedTime("createdAt", t.CreatedAt); err != nil {
				return nil, bad(i, ".createdAt", problem)
			}
		}
		if !t.ExpiresAt.IsZero() {
			if t.ExpiresAt, err = storedTime("expiresAt", t.ExpiresAt); err != nil {
				return nil, bad(i, ".expiresAt", problem)
			}
		}
		for j, o := range list {
			if o.SHA256 == t.SHA256 || o.ID != "" && o.ID == t.ID {
				return nil, bad(i, "", fmt.Sprintf("has the digest or the id of tokens[%d]; list each token once", j))
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// An ExportedGateway is a gateway in the form that an import takes.
type ExportedGateway struct {
	Gateway Gateway
	Tokens  []TokenDigest // without secrets: nobody has them
}

// Export is List with the digests of the gateways' tokens.
func (r *Registry) Export(after string, limit int) (page []ExportedGateway, next string) {
	list, next := r.List(after, limit)
	for _, g := range list {
		e := r.dir.entry(g.ID)
		if e == nil || e.external { // removed in the meantime
			continue
		}
		x := ExportedGateway{Gateway: *e.gateway, Tokens: make([]TokenDigest, 0, len(e.grants))}
		for _, t := range e.grants {
			x.Tokens = append(x.Tokens, TokenDigest{t.TokenID, t.digest, t.createdAt, t.expiresAt})
		}
		page = append(page, x)
	}
	return page, next
}
