import random
import string

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from wavecoder.languages.secrets import has_secret, secret_in

DRAWN = random.Random(0)


def draw(length, letters=string.ascii_letters + string.digits):
    # One of each kind in front: a draw without a digit would be no example of the format.
    return "a1B"[: 3 if set("aB1") <= set(letters) else 0] + "".join(
        DRAWN.choices(letters, k=length - (3 if set("aB1") <= set(letters) else 0))
    )


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"
# Put together here, so that nothing that looks for secrets finds one in this file.
EXAMPLES = {
    "AWSKeyDetector": ("an AWS access key", "AK" + "IA" + draw(16, UPPER)),
    "GitHubTokenDetector": ("a GitHub token", "gh" + "p_" + draw(36)),
    "GitLabTokenDetector": ("a GitLab token", "gl" + "pat-" + draw(20)),
    "SlackDetector": ("a Slack token", "xo" + "xb-" + draw(11, "123456789") + "-" + draw(24)),
    "StripeDetector": ("a Stripe key", "sk_" + "live_" + draw(24)),
    "JwtTokenDetector": (
        "a JSON web token",
        "ey" + "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + draw(43),
    ),
    "SendGridDetector": ("a SendGrid key", "S" + "G." + draw(22) + "." + draw(43)),
    "TwilioKeyDetector": ("a Twilio key", "S" + "K" + draw(32, HEX)),
    "OpenAIDetector": ("an OpenAI key", "s" + "k-" + draw(20) + "T3" + "BlbkFJ" + draw(20)),
    "MailchimpDetector": ("a Mailchimp key", draw(32, HEX) + "-us" + "12"),
    "TelegramBotTokenDetector": ("a Telegram token", draw(10, "123456789") + ":A" + "A" + draw(33)),
    "PypiTokenDetector": ("a PyPI token", "pyp" + "i-AgEIcHlwaS5vcmc" + draw(80)),
    "AzureStorageKeyDetector": ("an Azure storage key", "Account" + "Key=" + draw(86) + "=="),
    "PrivateKeyDetector": (
        "a private key",
        "-----BEGIN RSA " + "PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA" + draw(40),
    ),
}
# Formats that the package does not know.
OTHERS = {
    "github_pat": ("a GitHub token", "github" + "_pat_" + draw(22) + "_" + draw(59)),
    "google": ("a Google API key", "AI" + "za" + draw(35)),
    "google_client": ("a Google client secret", "GOC" + "SPX-" + draw(28)),
    "npm": ("an npm token", "np" + "m_" + draw(36)),
    "anthropic": ("an Anthropic key", "sk-" + "ant-api03-" + draw(93)),
    "hugging_face": ("a Hugging Face token", "h" + "f_" + draw(34)),
    "slack_webhook": (
        "a Slack webhook",
        "https://hooks." + "slack.com/services/T" + draw(8) + "/B" + draw(8) + "/" + draw(24),
    ),
}


@pytest.mark.parametrize("name", [*EXAMPLES, *OTHERS])
def test_keys_and_tokens_of_known_form_are_found_and_not_shown(name):
    kind, secret = {**EXAMPLES, **OTHERS}[name]
    code = f'def f():\n    g()\n    return call("{secret}")'
    assert secret_in(code) == f"{kind} on line 3"
    assert has_secret(code)
    in_prose = secret_in("def f(): ...", f"Call it with\n{secret} as the first.")
    assert in_prose == f"{kind} in its doc comment"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_package_detect_secrets_takes_them_for_secrets_too(name, tmp_path):
    file = tmp_path / "a.py"
    file.write_text(f'call("{EXAMPLES[name][1]}")\n')
    with transient_settings({"plugins_used": [{"name": name}]}):
        found = SecretsCollection()
        found.scan_file(str(file))
    assert len(list(found)) >= 1


@pytest.mark.parametrize(
    "code",
    [
        "password = 'hunt3r-two!'",
        'DB_PASSWORD = "kX9#pQ2vL"',
        "self.api_key = 'c9f0f895fb98ab9159f51fd0297e236d'",
        'client_secret: "8gG2-kqPz77"',
        '"auth_token" => "9fz3kqP0aa"',
        "$config['passwd'] = 'qwe78rty!';",
        'if (password == "l3tmein99") { f(); }',
        'String secretKey = "0dkq83JDlq";',
        'options["access_key"] = "q83JDlq0dk"',
    ],
)
def test_passwords_as_literals_are_found(code):
    assert secret_in(f"x = 1\n{code}") == "a password, key or token as a literal on line 2"


def test_a_password_in_an_address_is_found():
    code = 'connect("postgres://admin:kX9pQ2vL@db.company.com/x")'
    assert secret_in(code) == "a password in an address on line 1"
    assert secret_in(code.replace("db.company.com", "db.example.com")) is None
    assert secret_in(code.replace("kX9pQ2vL", "password1")) is None
    assert secret_in(code.replace("kX9pQ2vL", "{password}")) is None


@pytest.mark.parametrize(
    "code",
    [
        "password = os.environ['DB_PASSWORD']",
        "password = 'correcthorse'",  # no digit
        "password = 'a1b2c3'",  # short
        "password = 'your-password-1'",
        "password = 'xxxxxxxx1'",
        "password = '<password 1>'",
        "password = '${DB_PASSWORD_1}'",
        "password = '%(password1)s'",
        'password = "kX9$pQ2vL"',  # may be a variable
        "password = 'test1234'",
        "token = 'oauth2-header'",
        "token = 'X-Auth-Token2'",
        "secret = 'projects/1/secrets/s1'",
        "token_type = 'c9f0f895fb98ab91'",
        "publicKeyToken = 'b77a5c561934e089'",
        "checksum = 'c9f0f895fb98ab9159f51fd0297e236d'",
        "key = '0123456789abcdef'",
        "user_id = 'AKIA" + "IOSFODNN7EXAMPLE'",
        "if pem.startswith('-----BEGIN RSA PRIVATE KEY-----'): return 'x'",
        "print('-----BEGIN PRIVATE KEY-----')",
        "x = a_long_name_with_ghp_in_it_and_no_token",
        "SGD.rate = 1; ASIAN = 2; SKIP = 3",
        "regex = r'ghp_[A-Za-z0-9]{36}'",
        "return base64.b64encode(b'eyJ')",
    ],
)
def test_ordinary_code_has_none(code):
    assert secret_in(code) is None
    assert not has_secret(code)
