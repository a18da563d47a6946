"""Which pairs get no score: an address is missing, or the model could not tell it from others.

Many systems put a text such as 无 or N/A where an address is missing. `PLACEHOLDERS` has them.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from service.errors import MissingFields, NotAnAddress, RequestError, Unreadable

if TYPE_CHECKING:  # to ask for placeholders, no tokenizer need be imported
    from service.scoring.tokens import TokenizedPair

MOST_UNREAD: Final = 0.5
"""Share of an address that may be unread where the other one has other characters there."""

REFUSALS: Final = (MissingFields, NotAnAddress, Unreadable)
"""The kinds of them."""

FIELDS: Final = ("address1", "address2")

_WORDS: Final = """
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
PLACEHOLDERS: Final = frozenset(_WORDS.split())
"""Without their punctuation and blanks, in lower case. The whole text must be one of them: 无锡 and
未知路 are places."""

_ONE_CHARACTER: Final = frozenset("0x×某无空零〇")
"""Each of these alone is one as well, and so are 000, xxx, ××."""

_MOST_DIFFERENT: Final = 24
"""Different characters of a text that is looked at. Addresses have more than placeholders, which a
database may have filled up with blanks to any length."""


def is_placeholder(text: str) -> bool:
    """Whether a text stands for an address that is missing, or holds no letter and no digit.

    A placeholder may be repeated: NULL NULL is what a program makes of a street and a number that
    are both missing.
    """
    if len(set(text)) > _MOST_DIFFERENT:
        return not any(map(str.isalnum, text))
    bare = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text))).lower()
    word = bare[: (bare * 2).find(bare, 1)]  # what it repeats: itself, if it repeats nothing
    return not bare or word in PLACEHOLDERS or word in _ONE_CHARACTER


def placeholder_error(field: str, text: str) -> NotAnAddress | None:
    """The error of a placeholder where an address is expected; None for any other text.

    Args:
        field: What the error calls the field.
        text: What stands in it.
    """
    if not is_placeholder(text):
        return None
    return NotAnAddress(
        f"{field} is a placeholder such as N/A, or has no letter and no digit: give an address"
    )


def of(pair: tuple[str, str], tokens: TokenizedPair) -> RequestError | None:
    """Why a pair is not scored; None if it is.

    Args:
        pair: As the client sent it.
        tokens: As the model would read it.
    """
    if not tokens.is_readable:
        return MissingFields("an address has no readable character")
    for field, text in zip(FIELDS, pair, strict=True):
        if error := placeholder_error(field, text):
            return error
    if tokens.unread_differs and tokens.unread > MOST_UNREAD:
        return Unreadable(
            f"{tokens.unread:.0%} of an address are characters that the model does not know, and "
            "the other address has others there: write both in Chinese characters"
        )
    return None
