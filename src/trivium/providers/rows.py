"""The table of providers: what is known of each that can be called, whoever pays for it.

A row is data. Base URLs, APIs and ways to authenticate are the vendors' documented ones as of November 2026; each row
names its source. A row has a door for each family of APIs that is served at an address of its own; a client's API is
looked for at all of them. `builtin` makes the house's providers of rows and settings, `vendors` those that callers
reach by keys of their own.

Of a row it is assumed that prompts are collected and kept, unless the vendor says otherwise in public. What the row of
a model's server takes is in `traits`, how its requests differ in `styles`, how it counts in `canon/conventions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from trivium.canon.api import Api, Kind, Solo
from trivium.canon.conventions import DEFAULT, MISTRAL, UNKNOWN
from trivium.canon.usage import Conventions

_CHAT, _RESPONSES, _MESSAGES = Api.CHAT, Api.RESPONSES, Api.MESSAGES
_ALL = (_CHAT, _RESPONSES, _MESSAGES)
_EMBEDDINGS, _FIM = Solo.EMBEDDINGS, Solo.FIM


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where a family of APIs is served. `{region}`, `{project}` and `{host}` in an address are filled in."""

    apis: tuple[Kind, ...]
    base_urls: tuple[str, ...] = ()
    """A caller's own key is tried at each in turn; the last is where keys are good in any case, and the house's go.
    None: settings, or each key, come with their own."""
    under: str = ""
    """What stands behind any base URL, one of the operator's own as well."""
    auth: str = "bearer"
    """How a key is sent: a name in `credential.AUTH`."""
    style: str = ""
    """How requests differ from their API's: a name in `styles.STYLES`."""
    counts: bool = False
    """It counts tokens, as far as its APIs have a path for that. Where it does not after all, its 404 says so."""
    models: str = ""
    """Of a vendor with several rows, a pattern of the ids that are served here alone; empty: all others."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    doors: tuple[Door, ...]
    key_env: str | None = None
    """The environment variable that usually holds a key. Empty: it needs one, and no name is usual. None: it needs
    none."""
    env: tuple[str, ...] | None = ()
    """What must stand in the environment beside the key for a provider without any settings. None: never."""
    url_env: str | None = None
    """The variable that usually holds the address, where each account has its own."""
    root: str = "/v1"
    """The path of a base URL that is written without one."""
    root_everywhere: bool = False
    """It is added also behind other paths: Anthropic's SDKs append `/v1` to whatever they are given."""
    region: str | None = None
    """By default; None: it has no regions."""
    region_env: tuple[str, ...] = ()
    hosts: Mapping[str, str] = {}
    """`{host}` by region; the empty one stands for all others."""
    project_env: tuple[str, ...] = ()
    """Names for `{project}`."""
    version: str | None = None
    """What `api-version` in the query is by default; None: there is no such thing."""
    list_path: str | None = "/models"
    """Where it lists its models, under its first door. None: nowhere, or not those that can be called."""
    list_prefix: str = ""
    """What its list puts before each id."""
    generations: str | None = None
    """As in `Provider`; a configured base URL is asked at its own host."""
    tells_byok: bool = False
    reports_cost: bool = False
    lists_prices: bool = False
    """Its list of models tells USD per token. Others mean another unit by the same names."""
    collects_data: bool = True
    retains_data: bool = True
    counting: Conventions = UNKNOWN
    """How it counts, unless `canon/conventions` knows it by name."""
    bad_key: bytes = b""
    """A pattern of what it says, with status 400, of a key that is none; empty: it says 401."""
    bad_request: bytes = b""
    """A pattern of what it says, with status 500, of a request that it cannot serve; empty: it says 400."""
    quirks: frozenset[str] = frozenset()
    signs: bool = False
    """Calls may be signed by AWS's rules."""
    accounts: bool = False
    """Calls may be made by a service account of Google's."""
    note: str = ""
    """For the page of providers."""

    def rooted(self, url: str) -> str:
        """A checked base URL of somebody's own, with the path that is commonly left out."""
        path = urlsplit(url).path
        return url if path and (path.endswith(self.root) or not self.root_everywhere) else url + self.root


def _door(url: str, *apis: Kind, auth: str = "bearer", counts: bool = False) -> Door:
    return Door(apis=apis or (_CHAT,), base_urls=(url,), auth=auth, counts=counts)


_NEEDS_REGION = "`region`, else `AWS_REGION`"
_AWS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_BEDROCK = "https://bedrock-runtime.{region}.amazonaws.com"
_ON_OWN_MACHINE = "runs on your own machines: nothing of a call leaves them"

ROWS: dict[str, Row] = {
    "openai": Row(  # platform.openai.com/docs/api-reference; developers.openai.com/api/docs/guides/your-data
        title="OpenAI",
        doors=(_door("https://api.openai.com/v1", _CHAT, _RESPONSES, _EMBEDDINGS, counts=True),),
        key_env="OPENAI_API_KEY",
        collects_data=False,
        counting=DEFAULT,
    ),
    "anthropic": Row(  # platform.claude.com/docs/en/api/overview
        title="Anthropic",
        doors=(_door("https://api.anthropic.com/v1", _MESSAGES, auth="x-api-key", counts=True),),
        key_env="ANTHROPIC_API_KEY",
        root_everywhere=True,
        list_path="/models?limit=1000",
        collects_data=False,
        counting=DEFAULT,
    ),
    "openrouter": Row(  # openrouter.ai/docs/api-reference, /docs/api_reference/embeddings
        title="OpenRouter",
        doors=(_door("https://openrouter.ai/api/v1", *_ALL, _EMBEDDINGS),),
        key_env="OPENROUTER_API_KEY",
        generations="/generation?id={id}",
        tells_byok=True,
        reports_cost=True,
        lists_prices=True,
        counting=DEFAULT,
    ),
    "vercel": Row(  # vercel.com/docs/ai-gateway/sdks-and-apis
        title="Vercel",
        doors=(_door("https://ai-gateway.vercel.sh/v1", *_ALL, _EMBEDDINGS, counts=True),),
        key_env="AI_GATEWAY_API_KEY",
        generations="/generation?id={id}",
        reports_cost=True,
        lists_prices=True,
        counting=DEFAULT,
    ),
    # learn.microsoft.com/azure/foundry/openai/api-version-lifecycle; .../openai/data-privacy. Models of other makers
    # count there as at home: Grok's reasoning lies beside its output (BerriAI/litellm#39426).
    "azure": Row(
        title="Azure OpenAI",
        doors=(Door(apis=(_CHAT, _RESPONSES), auth="api-key"),),
        key_env="AZURE_OPENAI_API_KEY",
        env=("AZURE_OPENAI_ENDPOINT",),
        url_env="AZURE_OPENAI_ENDPOINT",
        root="/openai/v1",
        list_path=None,
        collects_data=False,
        note="`base_url`: the resource's address; models are named by deployment",
    ),
    # openai-python, `lib/azure.py`: Chat at a path for each deployment, Responses below the root.
    "azure-deployments": Row(
        title="Azure OpenAI, by deployment",
        doors=(Door(apis=(_CHAT, _RESPONSES), auth="api-key", style="azure"),),
        key_env="AZURE_OPENAI_API_KEY",
        env=None,
        url_env="AZURE_OPENAI_ENDPOINT",
        root="/openai",
        version="2024-10-21",
        list_path=None,
        collects_data=False,
        note="the older paths, with `api_version`; models are named by deployment",
    ),
    "google": Row(  # ai.google.dev/gemini-api/docs/openai
        title="Google",
        doors=(_door("https://generativelanguage.googleapis.com/v1beta/openai", _CHAT, _EMBEDDINGS),),
        key_env="GEMINI_API_KEY",
        root="/v1beta/openai",
        list_prefix="models/",
        bad_key=rb"API_KEY_INVALID|API key not valid|API key expired|API Key not found",
    ),
    # platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai; hosts as in anthropic-sdk-python, `lib/vertex`;
    # docs.cloud.google.com/vertex-ai/generative-ai/docs/data-governance
    "vertex": Row(
        title="Claude on Vertex AI",
        doors=(
            Door(
                apis=(_MESSAGES,),
                base_urls=("https://{host}/v1",),
                under="/projects/{project}/locations/{region}/publishers/anthropic/models",
                style="vertex",
                counts=True,
            ),
        ),
        key_env="GOOGLE_APPLICATION_CREDENTIALS",
        env=("ANTHROPIC_VERTEX_PROJECT_ID",),
        region="global",
        region_env=("CLOUD_ML_REGION",),
        project_env=("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
        hosts={
            "global": "aiplatform.googleapis.com",
            "us": "aiplatform.us.rep.googleapis.com",
            "eu": "aiplatform.eu.rep.googleapis.com",
            "": "{region}-aiplatform.googleapis.com",
        },
        list_path=None,
        collects_data=False,
        counting=DEFAULT,
        accounts=True,
        note="`service_account` (a file of Google's, or `metadata`), or an access token as `key`; `project`, `region`",
    ),
    # docs.aws.amazon.com/bedrock/latest/userguide: model-parameters-anthropic-claude-messages, api-keys,
    # data-protection
    "bedrock": Row(
        title="Claude on Amazon Bedrock",
        doors=(Door(apis=(_MESSAGES,), base_urls=(_BEDROCK,), style="bedrock", counts=True),),
        key_env="AWS_BEARER_TOKEN_BEDROCK",
        root="",
        region="us-east-1",
        region_env=_AWS,
        list_path=None,
        collects_data=False,
        counting=DEFAULT,
        signs=True,
        note=f"InvokeModel; a Bedrock API key, or AWS credentials; {_NEEDS_REGION}",
    ),
    "bedrock-messages": Row(  # docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api
        title="Amazon Bedrock",
        doors=(Door(apis=(_MESSAGES,), base_urls=(f"{_BEDROCK}/anthropic/v1",), models=r"([a-z]+\.)?anthropic\..+"),),
        key_env="AWS_BEARER_TOKEN_BEDROCK",
        env=None,
        root="/anthropic/v1",
        region="us-east-1",
        region_env=_AWS,
        list_path=None,
        collects_data=False,
        counting=DEFAULT,
        signs=True,
        note=f"Claude at Bedrock's own Messages API; {_NEEDS_REGION}",
    ),
    "bedrock-openai": Row(  # docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api
        title="Amazon Bedrock",
        doors=(_door(f"{_BEDROCK}/openai/v1", _CHAT, _RESPONSES),),
        key_env="AWS_BEARER_TOKEN_BEDROCK",
        env=None,
        root="/openai/v1",
        region="us-east-1",
        region_env=_AWS,
        collects_data=False,
        signs=True,
        note=f"models of other makers at Bedrock; {_NEEDS_REGION}",
    ),
    "mistral": Row(  # docs.mistral.ai/api, its endpoint/embeddings and endpoint/fim
        title="Mistral",
        doors=(_door("https://api.mistral.ai/v1", _CHAT, _EMBEDDINGS, _FIM),),
        key_env="MISTRAL_API_KEY",
        counting=MISTRAL,
    ),
    "codestral": Row(  # docs.mistral.ai/capabilities/code_generation: a host and keys of its own
        title="Codestral",
        doors=(_door("https://codestral.mistral.ai/v1", _CHAT, _FIM),),
        key_env="CODESTRAL_API_KEY",
        counting=MISTRAL,
    ),
    "inception": Row(  # docs.inceptionlabs.ai
        title="Inception",
        doors=(_door("https://api.inceptionlabs.ai/v1", _CHAT, _FIM),),
        key_env="INCEPTION_API_KEY",
    ),
    # docs.x.ai/developers/rest-api-reference, its Messages API is deprecated there; docs.x.ai/developers/faq/security
    "xai": Row(
        title="xAI",
        doors=(_door("https://api.x.ai/v1", _CHAT, _RESPONSES),),
        key_env="XAI_API_KEY",
        reports_cost=True,
        collects_data=False,
        bad_key=rb"Incorrect API key",
    ),
    "deepseek": Row(  # api-docs.deepseek.com, and its guides/anthropic_api
        title="DeepSeek",
        doors=(
            _door("https://api.deepseek.com/v1"),
            _door("https://api.deepseek.com/anthropic/v1", _MESSAGES, auth="x-api-key"),
        ),
        key_env="DEEPSEEK_API_KEY",
    ),
    "moonshot": Row(  # platform.moonshot.ai/docs: api/chat, guide/agent-support
        title="Moonshot",
        doors=(_door("https://api.moonshot.ai/v1"), _door("https://api.moonshot.ai/anthropic/v1", _MESSAGES)),
        key_env="MOONSHOT_API_KEY",
    ),
    "zai": Row(  # docs.z.ai/devpack/tool/others; keys of a coding plan are good there alone
        title="Z.ai",
        doors=(
            Door(apis=(_CHAT,), base_urls=("https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/paas/v4")),
            _door("https://api.z.ai/api/anthropic/v1", _MESSAGES),
        ),
        key_env="ZAI_API_KEY",
        root="/api/paas/v4",
    ),
    "minimax": Row(  # platform.minimax.io/docs/api-reference: text-openai-api, text-anthropic-api, models
        title="MiniMax",
        doors=(
            _door("https://api.minimax.io/v1", _CHAT, _RESPONSES),
            _door("https://api.minimax.io/anthropic/v1", _MESSAGES),
        ),
        key_env="MINIMAX_API_KEY",
    ),
    "qwen": Row(  # alibabacloud.com/help/en/model-studio: base-url, anthropic-api-messages
        title="Qwen",
        doors=(
            _door("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", _CHAT, _EMBEDDINGS),
            _door("https://dashscope-intl.aliyuncs.com/apps/anthropic/v1", _MESSAGES),
        ),
        key_env="DASHSCOPE_API_KEY",
        root="/compatible-mode/v1",
        note="keys of Singapore's region; others have a `base_url` of their own",
    ),
    "groq": Row(  # console.groq.com/docs: openai, responses-api, your-data
        title="Groq",
        doors=(_door("https://api.groq.com/openai/v1", _CHAT, _RESPONSES),),
        key_env="GROQ_API_KEY",
        root="/openai/v1",
        collects_data=False,
    ),
    "together": Row(  # docs.together.ai/docs: openai-api-compatibility, privacy-and-security
        title="Together",
        doors=(_door("https://api.together.xyz/v1", _CHAT, _EMBEDDINGS),),
        key_env="TOGETHER_API_KEY",
        collects_data=False,
        retains_data=False,
    ),
    # docs.fireworks.ai: tools-sdks/openai-compatibility, .../anthropic-compatibility, guides/security_compliance/
    # data_handling: nothing is kept but by the Responses API, which stores answers unless told otherwise; its clients
    # are translated.
    "fireworks": Row(
        title="Fireworks",
        doors=(_door("https://api.fireworks.ai/inference/v1", _CHAT, _MESSAGES, _EMBEDDINGS),),
        key_env="FIREWORKS_API_KEY",
        root="/inference/v1",
        collects_data=False,
        retains_data=False,
    ),
    "cerebras": Row(  # inference-docs.cerebras.ai/resources/openai
        title="Cerebras",
        doors=(_door("https://api.cerebras.ai/v1"),),
        key_env="CEREBRAS_API_KEY",
    ),
    "ollama": Row(  # docs.ollama.com/api: openai-compatibility, anthropic-compatibility
        title="Ollama",
        doors=(_door("http://127.0.0.1:11434/v1", *_ALL, _EMBEDDINGS),),
        collects_data=False,
        retains_data=False,
        note=_ON_OWN_MACHINE,
    ),
    "ollama-cloud": Row(  # docs.ollama.com/cloud ("Data handling") and the pages above
        title="Ollama's cloud",
        doors=(_door("https://ollama.com/v1", *_ALL),),
        key_env="OLLAMA_API_KEY",
        collects_data=False,
    ),
    "vllm": Row(  # docs.vllm.ai/en/stable/serving/online_serving
        title="vLLM",
        doors=(_door("http://127.0.0.1:8000/v1", *_ALL, _EMBEDDINGS, counts=True),),
        collects_data=False,
        retains_data=False,
        note=_ON_OWN_MACHINE,
    ),
    "llama.cpp": Row(  # github.com/ggml-org/llama.cpp, tools/server/README.md
        title="llama.cpp",
        doors=(_door("http://127.0.0.1:8080/v1", *_ALL, _EMBEDDINGS, counts=True),),
        collects_data=False,
        retains_data=False,
        bad_request=rb"input is not supported|Failed to parse (?:messages|tools)|' is required",
        quirks=frozenset({"responses-numbering", "messages-stops"}),
        note=_ON_OWN_MACHINE,
    ),
    "openai-compatible": Row(title="a server like OpenAI's", doors=(Door(apis=(_CHAT,), counts=True),)),
    "anthropic-compatible": Row(
        title="a server like Anthropic's",
        doors=(Door(apis=(_MESSAGES,), auth="x-api-key", counts=True),),
        root_everywhere=True,
        list_path="/models?limit=1000",
    ),
    # The host: docs.openclaw.ai/providers/modelstudio; the path of Messages as the ordinary host has it
    # (alibabacloud.com/help/en/model-studio/base-url).
    "alibaba-coding": Row(
        title="Alibaba's coding plan",
        doors=(
            _door("https://coding-intl.dashscope.aliyuncs.com/v1"),
            _door("https://coding-intl.dashscope.aliyuncs.com/apps/anthropic/v1", _MESSAGES),
        ),
        key_env="",
    ),
    "kimi-coding": Row(  # kimi.com/code/docs, "other-coding-agents": its Messages API wants `x-api-key`
        title="Kimi's coding plan",
        doors=(
            _door("https://api.kimi.com/coding/v1"),
            _door("https://api.kimi.com/coding/v1", _MESSAGES, auth="x-api-key"),
        ),
        key_env="",
    ),
    # Chat: docs.loongclaw.ai/use-loong/provider-guides/byteplus-coding; Messages as the same product has it in China
    # (volcengine.com/article/38136).
    "byteplus-coding": Row(
        title="BytePlus's coding plan",
        doors=(
            _door("https://ark.ap-southeast.bytepluses.com/api/coding/v3"),
            _door("https://ark.ap-southeast.bytepluses.com/api/coding/v1", _MESSAGES),
        ),
        key_env="",
    ),
    "zai-coding": Row(  # docs.z.ai/devpack/tool/others
        title="Z.ai's coding plan",
        doors=(
            _door("https://api.z.ai/api/coding/paas/v4"),
            _door("https://api.z.ai/api/anthropic/v1", _MESSAGES),
        ),
        key_env="",
    ),
}
