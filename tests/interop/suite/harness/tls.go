package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// TLS is a small certificate authority with one certificate for servers and
// clients, all valid for 127.0.0.1.
type TLS struct {
	// CAFile, CertFile and KeyFile are PEM files.
	CAFile, CertFile, KeyFile string

	config *tls.Config
}

// NewTLS writes new certificates into a directory. The client certificate has the
// given common name.
func NewTLS(dir, commonName string) (*TLS, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: commonName},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	t := &TLS{CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{t.CAFile, "CERTIFICATE", caDER}, {t.CertFile, "CERTIFICATE", leafDER}, {t.KeyFile, "PRIVATE KEY", keyDER}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return nil, err
		}
	}
	return t, t.load(caDER)
}

func (t *TLS) load(caDER []byte) error {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	t.config = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return nil
}

// Dial returns the option that makes [Dial] use the client certificate.
func (t *TLS) Dial() grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(t.config.Clone()))
}

// DialWithoutCert returns the option for a client that trusts the server but
// shows no certificate.
func (t *TLS) DialWithoutCert() grpc.DialOption {
	config := t.config.Clone()
	config.Certificates = nil
	return grpc.WithTransportCredentials(credentials.NewTLS(config))
}

// flags are those that kubeadm passes.
func (t *TLS) flags() []string {
	return []string{
		"--cert-file=" + t.CertFile, "--key-file=" + t.KeyFile, "--trusted-ca-file=" + t.CAFile, "--client-cert-auth=true",
		"--peer-cert-file=" + t.CertFile, "--peer-key-file=" + t.KeyFile, "--peer-trusted-ca-file=" + t.CAFile, "--peer-client-cert-auth=true",
	}
}
