package audio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"callscreen/internal/address"
)

// S3 stores audio in a bucket of an S3-compatible store.
type S3 struct {
	client         *minio.Client
	transport      *http.Transport
	bucket, prefix string
}

// newS3 takes the credentials from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), from the credentials
// file of the AWS tools, or from the instance metadata, in this order.
func newS3(ctx context.Context, bucket, prefix, endpoint, region string) (*S3, error) {
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.User != nil {
		return nil, fmt.Errorf(
			"audio: endpoint %q is not a server URL (hint: https://host, without path and credentials)",
			address.Redact(endpoint),
		)
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Transport: transport}},
		}),
		Secure: u.Scheme == "https", Region: region, Transport: transport,
	})
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	s := &S3{client: client, transport: transport, bucket: bucket, prefix: prefix}
	if err := s.Check(ctx); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	return s, nil
}

// Close closes idle connections.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

const (
	// putTime and askTime bound single requests, retries included, to a store that is slow or does not end its answer.
	putTime = 50 * time.Second
	askTime = 20 * time.Second
)

func (s *S3) name(key string) string { return path.Join(s.prefix, key) }

// Put implements Store. The object is uploaded in one piece with a checksum that the server verifies.
func (s *S3) Put(ctx context.Context, key, file string) error {
	ctx, cancel := context.WithTimeout(ctx, putTime)
	defer cancel()
	_, err := s.client.FPutObject(ctx, s.bucket, s.name(key), file, minio.PutObjectOptions{ContentType: "audio/wav", DisableMultipart: true})
	if err != nil {
		if strings.Contains(err.Error(), "no such file") {
			return fmt.Errorf("store audio %s: %w: %w", key, ErrNotFound, address.Error(err))
		}
		return fmt.Errorf("store audio %s in bucket %s: %w", key, s.bucket, address.Error(err))
	}
	return nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (Object, int64, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.name(key), minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, fmt.Errorf("read audio %s: %w", key, address.Error(err))
	}
	info, err := o.Stat()
	if err != nil {
		if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusNotFound {
			err = ErrNotFound
		}
		return nil, 0, errors.Join(fmt.Errorf("read audio %s: %w", key, address.Error(err)), o.Close())
	}
	return o, info.Size, nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := s.client.RemoveObject(ctx, s.bucket, s.name(key), minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("delete audio %s: %w", key, address.Error(err))
	}
	return nil
}

// Check implements Store.
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	ok, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil {
		return fmt.Errorf(
			"audio: bucket %s is unreachable: %w (hint: check the endpoint, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
			s.bucket,
			address.Error(err),
		)
	}
	if !ok {
		return fmt.Errorf("audio: bucket %s does not exist (hint: create it; callscreen does not)", s.bucket)
	}
	return nil
}
