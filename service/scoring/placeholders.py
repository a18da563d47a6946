"""Texts that people and programs put where an address is missing: the table, and its only place."""

from __future__ import annotations

import unicodedata

_WORDS = """
    无 無 没有 没 暂无 无数据 暂无数据 空 空白 空值 无地址 暂无地址 没有地址 地址无 无详细地址
    无具体地址 不详 地址不详 详细地址不详 具体地址不详 不明 地址不明 不清楚 不知道 未知 未知地址
    地址未知 不确定 不存在 同上 同前 同左 同右 同下 地址同上 如上 见上 如题 待定 待补 待补充 待填
    待填写 待完善 待确认 待核实 待更新 未填 未填写 未提供 未登记 未录入 未定 无法提供 拒绝提供
    保密 不便透露 略 其他 其它 其他地址 默认 默认地址 缺省 测试 测试地址 测试数据 测试用 测试测试
    这是测试 示例 示例地址 样例 地址 详细地址 具体地址 收货地址 家庭住址 请选择 请输入 请填写
    请输入地址 请输入详细地址 请填写地址 请填写详细地址 此处填写地址 某地 某处 删除 作废 已删除
    null nil none nan na nat n undefined unknown unk unspecified void empty blank missing default
    nodata noaddress nothing notavailable notapplicable notprovided notset notfound noinfo noaddr
    anonymous secret private confidential other others same sameasabove ditto asabove seeabove tbd
    tba tbc todo test tests testing tester testaddress testdata asdf asdfgh qwer qwerty foo bar
    foobar abc dummy sample example placeholder string str text address addr address1 address2
    true false ref value name num div0 error
"""
PLACEHOLDERS = frozenset(_WORDS.split())
"""Without their punctuation and blanks, in lower case. The whole text must be one of them: 无锡 and
未知路 are places."""

_ONE_CHARACTER = frozenset("0x×某无空零〇")
"""A text of nothing but one of these, however often, is one as well: 000, xxx, ××."""

_LONGEST = 32
"""Characters of a text that is looked at. Addresses are longer than placeholders."""


def is_placeholder(text: str) -> bool:
    """Whether a text stands for an address that is missing, or holds no letter and no digit."""
    if len(text) > _LONGEST:
        return not any(map(str.isalnum, text))
    bare = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text))).lower()
    if not bare or bare in PLACEHOLDERS:
        return True
    return bare[0] in _ONE_CHARACTER and bare.count(bare[0]) == len(bare)
